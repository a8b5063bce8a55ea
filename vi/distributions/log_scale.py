"""Scales of q(z|x) that stay within what single precision can square and divide by."""

from torch import Tensor

_MOST = 20.0  # exp(20) is 5e8, whose squares a datum far out may add up thousands of


def bounded(log_scale: Tensor, *, training: bool) -> Tensor:
    """log s as it is, but from -20 to 20 where nothing is trained: s from 2e-9 to 5e8.

    Beyond these, where an encoder may come at a datum unlike any it was trained on, s^2 would be
    infinite or (z - m) / s would be 0 / 0; with them log p(x) is very low and finite. In training
    there are no bounds: they would have no gradient, and hide that a run went astray.

    >>> import torch
    >>> bounded(torch.tensor([-3.0, 1000.0]), training=False)
    tensor([-3., 20.])
    """
    return log_scale if training else log_scale.clamp(-_MOST, _MOST)

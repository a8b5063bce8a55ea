"""Limits on the scales of q(z|x), so that single precision can square and divide by them."""

from torch import Tensor

_MOST = 20.0  # exp(20) is 5e8; thousands of its squares can be summed in single precision


def bounded(log_scale: Tensor, *, training: bool) -> Tensor:
    """Limit log s to [-20, 20] outside training, that is s to [2e-9, 5e8].

    An encoder can leave this range at data unlike the training data. s^2 would then be infinite or
    (z - m) / s would be 0 / 0; with the limits, log p(x) is very low but finite. In training there
    is no limit: it would have no gradient and hide that the run diverges.

    Args:
        log_scale: log s of any shape.
        training: If true, log s is returned unchanged.

    >>> import torch
    >>> bounded(torch.tensor([-3.0, 1000.0]), training=False)
    tensor([-3., 20.])
    """
    return log_scale if training else log_scale.clamp(-_MOST, _MOST)

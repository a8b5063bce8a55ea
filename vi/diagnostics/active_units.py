"""The number of latent dimensions that the model uses."""

import torch
from torch import Tensor

from vi.models.base import LatentVariableModel

_THRESHOLD = 0.01


@torch.no_grad()
def active_units(
    model: LatentVariableModel, x: Tensor, threshold: float = _THRESHOLD, **given: Tensor
) -> int:
    """Return the number of dimensions d with Var_x(E_q[z_d|x]) > threshold.

    A dimension whose posterior mean does not vary between data carries no information (posterior
    collapse).

    Args:
        model: Model with q(z|x).
        x: Data, (B, *event).
        threshold: Variance in the squared units of z.
        **given: Variables that the model conditions on, (B, ..).

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 5.2

    >>> import vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> active_units(model, torch.ones(5, 6))  # equal data have equal posterior means
    0
    """
    return int(are_active(model.posterior(x, **given).mean, threshold).sum())


def are_active(means: Tensor, threshold: float = _THRESHOLD) -> Tensor:
    """Whether Var_x(E_q[z_d|x]) is above a threshold: (*Z) of means (B, *Z)."""
    return means.var(0, correction=min(1, len(means) - 1)) > threshold

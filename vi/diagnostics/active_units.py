"""How many latent dimensions answer to the data."""

import torch
from torch import Tensor

from vi.models.base import LatentVariableModel


@torch.no_grad()
def active_units(
    model: LatentVariableModel, x: Tensor, threshold: float = 0.01, **given: Tensor
) -> int:
    """The number of d with Var_x(E_q[z_d|x]) > threshold.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 5.2
    """
    means = model.posterior(x, **given).mean
    return int((means.var(0, correction=min(1, len(x) - 1)) > threshold).sum())

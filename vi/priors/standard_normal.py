"""The standard normal prior."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.normal import UnitNormal
from vi.distributions.prior import Prior
from vi.errors import require_positive


class StandardNormal(Prior):
    """Standard normal prior p(z) = N(z; 0, I).

    Args:
        latent_dim: Z, the number of latent dimensions.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    >>> StandardNormal(2)().log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    support = constraints.real
    zero: Tensor

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (Z,)."""
        return Independent(UnitNormal(self.zero), 1)

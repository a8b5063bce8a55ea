"""The prior of independent bits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.discrete import bits
from vi.distributions.prior import Prior
from vi.errors import require_positive


class BernoulliPrior(Prior):
    """Independent bits p(z) = prod_d p_d^z_d (1 - p_d)^(1 - z_d), with p_d = 1/2 at the start.

    Args:
        latent_dim: Z, the number of bits.
        learn: Whether the logits of p are learned; else p_d stays 1/2.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    >>> BernoulliPrior(3)().log_prob(torch.tensor([1.0, 0.0, 1.0]))
    tensor(-2.0794)
    """

    support = constraints.boolean
    logits: Tensor

    def __init__(self, latent_dim: int, *, learn: bool = False) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))
        logits = torch.zeros(self.event_shape)
        if learn:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (Z,)."""
        return bits(self.logits)

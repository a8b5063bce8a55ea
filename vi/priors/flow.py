"""The prior that is a normalising flow."""

from collections.abc import Callable

import torch
from torch import nn
from torch.distributions import Distribution, constraints

from vi.distributions.flow import FlowDistribution, FlowRecipe
from vi.distributions.prior import Prior
from vi.errors import require_positive


class FlowPrior(Prior):
    """Flow prior: f((z - mu) / sigma) ~ N(0, I), with learned mu, sigma and normalising flow f.

    At the start mu is 0, sigma is 1 and f is near the identity. log p takes one pass through f; a
    draw takes as many passes as the inverse of the flow.

    Args:
        latent_dim: Z, the number of latent dimensions.
        flow: Recipe that builds f.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    Reference: Chen et al., 2017, https://arxiv.org/abs/1611.02731, section 3.2

    >>> from vi.distributions.flows.spline import SplineFlow
    >>> FlowPrior(3, SplineFlow())().log_prob(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5])
    """

    support = constraints.real

    def __init__(self, latent_dim: int, flow: FlowRecipe) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))
        self.transform = flow(latent_dim)
        self.piecewise = flow.piecewise

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (Z,)."""
        return FlowDistribution(
            self.transform().inv, self.loc, self.log_scale, piecewise=self.piecewise
        )

"""The posterior that is a normalising flow."""

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.flow import FlowDistribution, FlowRecipe
from vi.errors import require_positive
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class FlowPosterior(LocationScalePosterior):
    """Flow posterior z = mu(x) + sigma(x) f(e; h(x)) with e ~ N(0, I) and f a normalising flow.

    At the start f is near the identity and q near the mean-field Gaussian. A draw and its log q
    take one pass through f; log q of any other z takes as many passes as the inverse of the flow.

    Args:
        latent_dim: Z; the network outputs 2 Z + H numbers.
        flow: Recipe that builds f.
        summary_dim: H, the width of the summary h(x), which is the context of f.

    Raises:
        ConfigurationError: ``latent_dim`` or ``summary_dim`` is not positive.

    Reference: Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770; Kingma et al., 2016,
    https://arxiv.org/abs/1606.04934

    >>> import torch
    >>> from vi.distributions.flows.spline import SplineFlow
    >>> q = FlowPosterior(3, SplineFlow(), summary_dim=4)(torch.zeros(5, 10))
    >>> z, log_q = q.rsample_and_log_prob((7,))
    >>> z.shape, log_q.shape
    (torch.Size([7, 5, 3]), torch.Size([7, 5]))
    """

    def __init__(self, latent_dim: int, flow: FlowRecipe, summary_dim: int = 16) -> None:
        super().__init__(latent_dim)
        require_positive("summary_dim", summary_dim)
        self.summary_dim = summary_dim
        self.transform = flow(latent_dim, summary_dim)
        self.piecewise = flow.piecewise

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """Shape of the summary h, (H,)."""
        return ((self.summary_dim,),)

    def placed(self, loc: Tensor, log_scale: Tensor, summary: Tensor) -> Distribution:
        """Return the flow with context ``summary``, scaled by sigma and shifted by mu.

        Args:
            loc: mu, (*batch, Z).
            log_scale: log sigma, (*batch, Z).
            summary: h, (*batch, H).
        """
        return FlowDistribution(self.transform(summary), loc, log_scale, piecewise=self.piecewise)

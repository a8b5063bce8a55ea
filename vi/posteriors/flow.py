"""The posterior through a normalising flow."""

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.flow import FlowDistribution, FlowRecipe
from vi.errors import require_positive
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class FlowPosterior(LocationScalePosterior):
    """q(z|x): z = mu(x) + sigma(x) f(e; h(x)) with e ~ N(0, I), f a normalising flow.

    f is near the identity at first, and q near the mean-field Gaussian. A draw and its log q take
    one pass through f; log q of another z takes as many as the inverse of the flow.

    Args:
        latent_dim: Z; the network gives 2 Z + H numbers.
        flow: Makes f.
        summary_dim: H, the width of h(x), what f is told of x.

    Raises:
        ConfigurationError: No dimensions of z or h.

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
        """h."""
        return ((self.summary_dim,),)

    def placed(self, loc: Tensor, log_scale: Tensor, summary: Tensor) -> Distribution:
        """See ``LocationScalePosterior``."""
        return FlowDistribution(self.transform(summary), loc, log_scale, piecewise=self.piecewise)

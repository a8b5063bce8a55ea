"""Gaussian likelihoods of real data; the classes differ in the origin of the scale."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import mean_of, spread_of
from vi.distributions.normal import Normal
from vi.errors import require_positive
from vi.likelihoods.location_scale import OwnScaleLikelihood, SharedScaleLikelihood
from vi.math import Shape


class _Normals:
    """Entries with Gaussian noise."""

    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """Return N(loc, scale^2) for each entry."""
        return Normal(loc, scale)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of each entry."""
        return mean_of(x), spread_of(x)


class FixedScaleGaussian(ConditionalDistribution):
    """Gaussian p(x|z) = prod_d N(x_d; mu_d(z), scale^2) with a given scale.

    The decoder outputs mu. The density is in the units of the data.

    Args:
        scale: Standard deviation of the noise, in the units of the data.

    Raises:
        ConfigurationError: scale <= 0.

    >>> likelihood = FixedScaleGaussian(scale=1.0)
    >>> likelihood.set_event_shape((2,))
    >>> likelihood(torch.zeros(2)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    support = constraints.real

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        require_positive("scale", scale)
        self.scale = scale

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of mu, that of x."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from mu (*batch, *out_shape)."""
        (loc,) = self.split(params)
        normal = Normal(loc, torch.full_like(loc, self.scale))
        return Independent(normal, len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the mean of each entry."""
        return (mean_of(x),)


class SharedScaleGaussian(_Normals, SharedScaleLikelihood):
    """Gaussian p(x|z) = prod_d N(x_d; mu_d(z), s^2) with one learned s for all entries and data.

    The decoder outputs mu.

    >>> likelihood = SharedScaleGaussian(scale=1.0)
    >>> likelihood.set_event_shape((2,))
    >>> likelihood(torch.zeros(2)).log_prob(torch.zeros(2)).detach()
    tensor(-1.8379)
    """

    def pooled(self, scale: Tensor) -> Tensor:
        """Return the root of the mean variance."""
        return scale.square().mean().sqrt()


class Gaussian(_Normals, OwnScaleLikelihood):
    """Gaussian p(x|z) = prod_d N(x_d; mu_d(z), s_d(z)^2) with a scale for every entry.

    The decoder outputs mu and the scale before softplus.

    >>> likelihood = Gaussian(floor=1.0)
    >>> likelihood.set_event_shape((2,))
    >>> likelihood(torch.tensor([0.0, 0.0, -1000.0, -1000.0])).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

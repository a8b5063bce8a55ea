"""Real data with Gaussian noise; the three classes differ in where the scale comes from."""

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
        """N(loc, scale^2)."""
        return Normal(loc, scale)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations."""
        return mean_of(x), spread_of(x)


class FixedScaleGaussian(ConditionalDistribution):
    """p(x|z) = prod_d N(x_d; mu_d(z), scale^2), a density in the units of the data.

    Args:
        scale: The standard deviation of the noise.

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
        """mu."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (loc,) = self.split(params)
        normal = Normal(loc, torch.full_like(loc, self.scale))
        return Independent(normal, len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The means."""
        return (mean_of(x),)


class SharedScaleGaussian(_Normals, SharedScaleLikelihood):
    """p(x|z) = prod_d N(x_d; mu_d(z), s^2), with one learned s for all entries and data."""

    def pooled(self, scale: Tensor) -> Tensor:
        """The root of the mean variance."""
        return scale.square().mean().sqrt()


class Gaussian(_Normals, OwnScaleLikelihood):
    """p(x|z) = prod_d N(x_d; mu_d(z), s_d(z)^2), with a scale for every entry from the decoder."""

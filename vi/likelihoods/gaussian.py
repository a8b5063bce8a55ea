"""Real data with Gaussian noise; the three classes differ in where the scale comes from."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.nn import functional as F

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import before_softplus, mean_of, spread_of
from vi.distributions.normal import Normal
from vi.distributions.positive import PositiveParameter
from vi.errors import require_positive
from vi.math import Shape


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
        return _normal(loc, torch.full_like(loc, self.scale), self.event_shape)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The means."""
        return (mean_of(x),)


class SharedScaleGaussian(ConditionalDistribution):
    """p(x|z) = prod_d N(x_d; mu_d(z), s^2), with one learned s for all entries and data.

    s = floor + softplus(parameter).

    Args:
        scale: Where s starts; training starts it at this many standard deviations of the data.
        floor: The least s, in the units of the data (of their standard deviation where the model
            standardises); without one the density is unbounded.
    """

    support = constraints.real

    def __init__(self, scale: float = 1.0, floor: float = 1e-3) -> None:
        super().__init__()
        self.scale = PositiveParameter("scale", scale, floor=floor)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (loc,) = self.split(params)
        return _normal(loc, self.scale().expand_as(loc), self.event_shape)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The means, and s from the mean of the variances."""
        self.scale.start_at(spread_of(x).square().mean().sqrt())
        return (mean_of(x),)


class Gaussian(ConditionalDistribution):
    """p(x|z) = prod_d N(x_d; mu_d(z), s_d(z)^2), with a scale for every entry from the decoder.

    s = floor + softplus(output of the decoder).

    Args:
        floor: The least s, in the units of the data (of their standard deviation where the model
            standardises); without one the density is unbounded (Mattei and Frellsen, 2018,
            https://arxiv.org/abs/1802.04826).
    """

    support = constraints.real

    def __init__(self, floor: float = 1e-2) -> None:
        super().__init__()
        require_positive("floor", floor)
        self.floor = floor

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu and the scale before softplus."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        loc, raw_scale = self.split(params)
        return _normal(loc, self.floor + F.softplus(raw_scale), self.event_shape)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Means and standard deviations."""
        return mean_of(x), before_softplus(spread_of(x), self.floor)


def _normal(loc: Tensor, scale: Tensor, event_shape: Shape) -> Distribution:
    return Independent(Normal(loc, scale), len(event_shape))

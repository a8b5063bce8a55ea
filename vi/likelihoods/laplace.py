"""Real data with Laplace noise; the two classes differ in where the scale comes from."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.distributions import Laplace as TorchLaplace
from torch.nn.functional import softplus

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import before_softplus, mean_of
from vi.distributions.positive import PositiveParameter
from vi.errors import require_positive
from vi.math import Shape


class SharedScaleLaplace(ConditionalDistribution):
    """p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b) / (2 b), with one learned b.

    Up to that scale log p(x|z) is the mean absolute error.

    Args:
        scale: Where b starts, and the standard deviation is sqrt(2) b; training starts it at this
            many mean absolute deviations of the data.
        floor: The least b, in the units of the data (of their standard deviation where the model
            standardises); without one the density is unbounded.

    Raises:
        ConfigurationError: floor <= 0, or scale <= floor.
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
        return _laplace(loc, self.scale().expand_as(loc), self.event_shape)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The medians, and b from the mean absolute deviation."""
        loc, scale = _median_and_scale(x)
        self.scale.start_at(scale.mean())
        return (loc,)


class Laplace(ConditionalDistribution):
    """p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b_d(z)) / (2 b_d(z)), b from the decoder.

    b = floor + softplus(output of the decoder).

    Args:
        floor: The least b, see ``SharedScaleLaplace``.

    Raises:
        ConfigurationError: floor <= 0.

    >>> import torch
    >>> likelihood = Laplace(floor=0.5)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.tensor([1.0]))
    tensor(-2.)
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
        return _laplace(loc, self.floor + softplus(raw_scale), self.event_shape)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Medians and mean absolute deviations."""
        loc, scale = _median_and_scale(x)
        return loc, before_softplus(scale, self.floor)


def _median_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of the likelihood; b = 1 of an entry that does not vary."""
    loc = x.nanmedian(0).values.nan_to_num()
    scale = mean_of((x - loc).abs())
    return loc, scale.where(scale > 0, torch.ones_like(scale))


def _laplace(loc: Tensor, scale: Tensor, event_shape: Shape) -> Distribution:
    return Independent(TorchLaplace(loc, scale, validate_args=False), len(event_shape))

"""What likelihoods with a location for every entry have in common, by where the scale is from."""

from abc import abstractmethod

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.nn.functional import softplus

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import before_softplus
from vi.distributions.positive import PositiveParameter
from vi.errors import require_positive
from vi.math import Shape


class _Located(ConditionalDistribution):
    """Entries that are independent given z, each around a location from the decoder.

    An implementer writes ``entries`` and ``moments``.
    """

    support = constraints.real

    @abstractmethod
    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """p(x_d|z) of every entry, (*batch, *event)."""

    @abstractmethod
    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The location and the scale of every entry of data (N, *event): (*event)."""

    def _independent(self, loc: Tensor, scale: Tensor) -> Distribution:
        return Independent(self.entries(loc, scale), len(self.event_shape))


class OwnScaleLikelihood(_Located):
    """p(x|z) with a scale for every entry: s = floor + softplus(output of the decoder).

    Args:
        floor: The least s, in the units of the data (of their standard deviation where the model
            standardises); without one the density is unbounded (Mattei and Frellsen, 2018,
            https://arxiv.org/abs/1802.04826).
    """

    def __init__(self, floor: float = 1e-2) -> None:
        super().__init__()
        require_positive("floor", floor)
        self.floor = floor

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """The location and the scale before softplus."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        loc, raw_scale = self.split(params)
        return self._independent(loc, self.floor + softplus(raw_scale))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Locations and scales of the data."""
        loc, scale = self.moments(x)
        return loc, before_softplus(scale, self.floor)


class SharedScaleLikelihood(_Located):
    """p(x|z) with one learned scale for all entries and data: s = floor + softplus(parameter).

    An implementer writes ``pooled`` as well.

    Args:
        scale: Where s starts; training starts it at this many times the scale of the data.
        floor: The least s, in the units of the data (of their standard deviation where the model
            standardises); without one the density is unbounded.

    Raises:
        ConfigurationError: floor <= 0, or scale <= floor.
    """

    def __init__(self, scale: float = 1.0, floor: float = 1e-3) -> None:
        super().__init__()
        self.scale = PositiveParameter("scale", scale, floor=floor)

    @abstractmethod
    def pooled(self, scale: Tensor) -> Tensor:
        """One scale of those of all entries."""

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """The location."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (loc,) = self.split(params)
        return self._independent(loc, self.scale().expand_as(loc))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The locations, and s from the scales of the data."""
        loc, scale = self.moments(x)
        self.scale.start_at(self.pooled(scale))
        return (loc,)

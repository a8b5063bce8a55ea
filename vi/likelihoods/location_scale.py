"""Likelihoods with a location for every entry: base classes by the origin of the scale."""

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
    """Entries that are independent given z, each with a location from the decoder.

    An implementer writes ``entries`` and ``moments``.
    """

    support = constraints.real

    @abstractmethod
    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """Return p(x_d|z) of every entry, with batch_shape (*batch, *event)."""

    @abstractmethod
    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the location and the scale of every entry of data (N, *event), (*event) each."""

    def _independent(self, loc: Tensor, scale: Tensor) -> Distribution:
        """Return the entries as one event."""
        return Independent(self.entries(loc, scale), len(self.event_shape))


class OwnScaleLikelihood(_Located):
    """Likelihood p(x|z) with a scale for every entry: s = floor + softplus(output of the decoder).

    An implementer writes ``entries`` and ``moments``. ``param_shapes``, ``forward`` and
    ``start_at`` come for free.

    Args:
        floor: Lower limit of s, in the units of the data (of their standard deviation if the model
            standardises). Without it the density is unbounded (Mattei and Frellsen, 2018,
            https://arxiv.org/abs/1802.04826).

    Raises:
        ConfigurationError: floor <= 0.

    >>> import torch
    >>> from torch.distributions import Gumbel
    >>> from vi.distributions.moments import mean_of, spread_of
    >>> class GumbelLikelihood(OwnScaleLikelihood):
    ...     def entries(self, loc, scale):
    ...         return Gumbel(loc, scale)
    ...     def moments(self, x):
    ...         scale = spread_of(x) * 6**0.5 / torch.pi
    ...         return mean_of(x) - 0.5772 * scale, scale
    >>> likelihood = GumbelLikelihood(floor=1.0)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.zeros(1))
    tensor(-1.)
    """

    def __init__(self, floor: float = 1e-2) -> None:
        super().__init__()
        require_positive("floor", floor)
        self.floor = floor

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the location and of the scale before softplus, that of x each."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from parameters (*batch, *out_shape)."""
        loc, raw_scale = self.split(params)
        return self._independent(loc, self.floor + softplus(raw_scale))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the location of each entry and its scale before softplus."""
        loc, scale = self.moments(x)
        return loc, before_softplus(scale, self.floor)


class SharedScaleLikelihood(_Located):
    """Likelihood p(x|z) with one learned scale s = floor + softplus(raw) for all entries and data.

    An implementer writes ``entries``, ``moments`` and ``pooled``. ``param_shapes``, ``forward``
    and ``start_at`` come for free.

    Args:
        scale: Initial s; training multiplies it by the scale of the data.
        floor: Lower limit of s, in the units of the data (of their standard deviation if the model
            standardises). Without it the density is unbounded.

    Raises:
        ConfigurationError: floor <= 0, or scale <= floor.
    """

    def __init__(self, scale: float = 1.0, floor: float = 1e-3) -> None:
        super().__init__()
        self.scale = PositiveParameter("scale", scale, floor=floor)

    @abstractmethod
    def pooled(self, scale: Tensor) -> Tensor:
        """Combine the scales of all entries (*event) into one."""

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the location, that of x."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from locations (*batch, *out_shape)."""
        (loc,) = self.split(params)
        return self._independent(loc, self.scale().expand_as(loc))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the location of each entry, and set s from the scales of the data."""
        loc, scale = self.moments(x)
        self.scale.start_at(self.pooled(scale))
        return (loc,)

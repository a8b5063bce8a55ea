"""The likelihood of fractions."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions.gamma import _standard_gamma
from torch.nn.functional import softplus

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import open_unit_interval
from vi.distributions.moments import before_softplus, mean_of, variance_of
from vi.errors import require_positive
from vi.math import Shape

_MARGIN = 1e-3  # least distance of initial means from 0 and 1, and least standard deviation


class BetaLikelihood(ConditionalDistribution):
    """Independent Beta distributions of fractions 0 < x_d < 1.

        p(x|z) = prod_d x_d^(a_d - 1) (1 - x_d)^(b_d - 1) / B(a_d, b_d)

    The concentrations a and b are floor + softplus(output of the decoder).

    Args:
        floor: Lower limit of a and b. With 1 or more the density stays finite at the ends. Below 1
            it may have a pole there, and data near an end can then make log p(x|z) arbitrarily
            high.

    Raises:
        ConfigurationError: floor <= 0.

    >>> likelihood = BetaLikelihood()
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([-1000.0, -1000.0])).log_prob(torch.tensor([0.3]))
    tensor(0.)
    """

    support = open_unit_interval
    needs = "fractions with 0 < x < 1 (at 0 and 1 its density is zero or infinite)"

    def __init__(self, floor: float = 1.0) -> None:
        super().__init__()
        require_positive("floor", floor)
        self.floor = floor

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of a and b before softplus, that of x each."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from raw concentrations (*batch, *out_shape)."""
        a, b = (self.floor + softplus(raw) for raw in self.split(params))
        return Independent(_Beta(a, b), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the concentrations whose mean and variance are those of the data."""
        mean = mean_of(x).clamp(_MARGIN, 1 - _MARGIN)
        total = (mean * (1 - mean) / variance_of(x).clamp_min(_MARGIN**2) - 1).clamp_min(_MARGIN)
        return tuple(before_softplus(part * total, self.floor) for part in (mean, 1 - mean))


class _Beta(Distribution):
    """Beta distribution with its log-density in double precision.

    For large a and b the terms cancel.
    """

    arg_constraints = {}  # pyright: ignore
    support = open_unit_interval  # pyright: ignore

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__(a.shape, validate_args=False)
        self.a, self.b = a, b

    @property
    def mean(self) -> Tensor:
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> Tensor:
        total = self.a + self.b
        return self.mean * (self.b / total) / (total + 1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        one, other = (_standard_gamma(c.expand(shape)) for c in (self.a, self.b))
        info = torch.finfo(one.dtype)  # rounding must not leave the open interval
        return (one / (one + other)).clamp(info.tiny, 1 - info.eps)

    def log_prob(self, value: Tensor) -> Tensor:
        x, a, b = value.double(), self.a.double(), self.b.double()
        log_norm = a.lgamma() + b.lgamma() - (a + b).lgamma()
        log_p = (a - 1) * x.log() + (b - 1) * (-x).log1p() - log_norm
        return log_p.to(self.a.dtype)

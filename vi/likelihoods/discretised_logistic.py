"""Grey levels: a logistic distribution in bins."""

import math

from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.nn.functional import softplus

from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import Grid
from vi.distributions.moments import before_softplus, mean_of, variance_of
from vi.errors import require_positive
from vi.math import Shape


class DiscretisedLogistic(ConditionalDistribution):
    """p(x|z) = prod_d P(a logistic variable, rounded to the grid, is x_d); x in 0, 1/levels .. 1.

    loc = 1/2 + output of the decoder, scale = floor / levels + softplus(output of the decoder).

    Args:
        levels: Of the data between 0 and 1; 255 for bytes.
        floor: The least scale, as a part of a bin.

    Reference: Kingma et al., 2016, https://arxiv.org/abs/1606.04934, section 5

    >>> import torch
    >>> likelihood = DiscretisedLogistic()
    >>> likelihood.set_event_shape((1, 2, 2))
    >>> likelihood(torch.zeros(5, 2, 2, 2)).log_prob(torch.ones(5, 1, 2, 2))[0]
    tensor(-4.4613)
    """

    def __init__(self, levels: int = 255, floor: float = 0.1) -> None:
        require_positive("levels", levels)
        require_positive("floor", floor)
        super().__init__()
        self.levels, self.floor = levels, floor
        self.support = Grid(levels + 1, levels)
        self.needs = f"k/{levels} with k in 0 .. {levels}"

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """loc - 1/2, and the scale before softplus."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        loc, raw_scale = self.split(params)
        scale = self.floor / self.levels + softplus(raw_scale)
        return Independent(BinnedLogistic(loc + 0.5, scale, self.levels), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Means and standard deviations; of a logistic variable the latter is pi / sqrt(3)."""
        scale = variance_of(x).sqrt() * 3**0.5 / math.pi
        return mean_of(x) - 0.5, before_softplus(scale, self.floor / self.levels)

"""Grey levels: a logistic distribution in bins."""

import math

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.constraints import Grid
from vi.distributions.moments import mean_of, variance_of
from vi.errors import require_positive
from vi.likelihoods.location_scale import OwnScaleLikelihood


class DiscretisedLogistic(OwnScaleLikelihood):
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
        super().__init__(floor / levels)
        self.levels = levels
        self.support = Grid(levels + 1, levels)
        self.needs = f"k/{levels} with k in 0 .. {levels}"

    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """The decoder gives loc - 1/2."""
        return BinnedLogistic(loc + 0.5, scale, self.levels)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations; of a logistic variable the latter is pi / sqrt(3)."""
        return mean_of(x) - 0.5, variance_of(x).sqrt() * 3**0.5 / math.pi

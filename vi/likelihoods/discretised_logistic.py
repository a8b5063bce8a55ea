"""The likelihood of grey levels: a logistic distribution rounded to a grid."""

import math

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.constraints import Grid
from vi.distributions.moments import mean_of, variance_of
from vi.errors import require_positive
from vi.likelihoods.location_scale import OwnScaleLikelihood


class DiscretisedLogistic(OwnScaleLikelihood):
    """Discretised logistic likelihood for data on the grid 0, 1/levels, .., 1.

    p(x_d|z) is the probability that a logistic variable, rounded to the grid, equals x_d. Its
    location is 1/2 + output of the decoder, its scale floor / levels + softplus(output of the
    decoder).

    Args:
        levels: Steps of the data between 0 and 1; 255 for bytes.
        floor: Lower limit of the scale, as a fraction of the width of a bin.

    Raises:
        ConfigurationError: ``levels`` or ``floor`` is not positive.

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
        """Return the rounded logistic of each entry; the decoder outputs loc - 1/2."""
        return BinnedLogistic(loc + 0.5, scale, self.levels)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc - 1/2 and the scale of a logistic with the mean and variance of the data.

        The standard deviation of a logistic variable is pi / sqrt(3) times its scale.
        """
        return mean_of(x) - 0.5, variance_of(x).sqrt() * 3**0.5 / math.pi

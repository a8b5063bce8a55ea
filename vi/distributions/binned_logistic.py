"""The logistic distribution, rounded to a grid."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid

from vi.distributions.protocols import CostlyMean
from vi.math import Shape


class BinnedLogistic(CostlyMean, Distribution):
    """Logistic variable rounded to the nearest of 0, 1 / levels, .., 1; one for every entry.

        P(x) = F((x + h - loc) / scale) - F((x - h - loc) / scale),    h = 1 / (2 levels)

    with F the logistic function. The bin of 0 extends to minus infinity and that of 1 to plus
    infinity, so the probabilities add up to 1. With F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)),
    each factor is computed as a logarithm, so that log P stays finite in bins far from loc.

    Args:
        loc: Location, (*batch), in the units of the data, which lie in [0, 1].
        scale: Positive scale, (*batch), in the same units.
        levels: The number of bins minus 1; 255 for bytes.

    >>> p = BinnedLogistic(torch.tensor(0.5), torch.tensor(0.1), levels=2)
    >>> p.mean, p.log_prob(torch.tensor([0.0, 0.5, 1.0])).exp()
    (tensor(0.5000), tensor([0.0759, 0.8483, 0.0759]))
    """

    arg_constraints = {}  # pyright: ignore
    inside = 0.0
    """A value in the support, used for missing entries: the mean costs as much as all levels."""

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        super().__init__(loc.shape, validate_args=False)
        self.loc, self.scale, self.levels = loc, scale, levels

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(value) in nats, (*batch)."""
        # Edges are computed from whole numbers, so that adjacent bins have exactly the same edge.
        index = (value * self.levels).round()
        first, last = index <= 0, index >= self.levels
        log_below = logsigmoid(((index + 0.5) / self.levels - self.loc) / self.scale)
        log_above = logsigmoid((self.loc - (index - 0.5) / self.levels) / self.scale)
        log_width = (-torch.expm1(-1 / (self.levels * self.scale))).log()
        inner = torch.where(first | last, 0.0, log_width)
        return inner + torch.where(last, 0.0, log_below) + torch.where(first, 0.0, log_above)

    @property
    def mean(self) -> Tensor:
        """E[x] = sum_k P(x > k / levels) / levels, (*batch).

        The sum runs over one bin at a time, which keeps memory at (*batch).
        """
        total = torch.zeros_like(self.loc)
        for k in range(self.levels):
            total = total + ((self.loc - (k + 0.5) / self.levels) / self.scale).sigmoid()
        return total / self.levels

    @property
    def variance(self) -> Tensor:
        """Var[x], (*batch), as a sum over one bin at a time, which keeps memory at (*batch)."""
        mean, total = self.mean, torch.zeros_like(self.loc)
        for k in range(self.levels + 1):
            x = torch.full_like(self.loc, k / self.levels)
            total = total + self.log_prob(x).exp() * (x - mean).square()
        return total

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw logistic variables and round them to the grid, (*sample_shape, *batch)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        x = self.loc + self.scale * u.logit()
        return (x * self.levels).round().clamp(0, self.levels) / self.levels

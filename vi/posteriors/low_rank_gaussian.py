"""The Gaussian posterior with a few correlated directions."""

import math

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.low_rank_normal import LowRankNormal
from vi.errors import require_positive
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class LowRankGaussian(LocationScalePosterior):
    """q(z|x) = N(z; mu(x), W(x) W(x)' + diag(s(x)^2)), with W = diag(s) U and s an exp.

    The network gives U, the directions in units of s, so that every covariance of this form can
    be said, and none of them is hard to invert; and it gives them sqrt(R Z) times as long, so that
    what an optimiser's noise adds to all of them costs as little as one entry would.

    Args:
        latent_dim: Z; the network gives (2 + R) Z numbers.
        rank: R, the number of directions.

    Reference: Rezende, Mohamed and Wierstra, 2014, https://arxiv.org/abs/1401.4082, section 4.3

    >>> import torch
    >>> q = LowRankGaussian(3, rank=1)(torch.zeros(5, 9))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([3]), tensor(4.2568))
    """

    def __init__(self, latent_dim: int, rank: int) -> None:
        super().__init__(latent_dim)
        require_positive("rank", rank)
        self.rank = rank

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """sqrt(R Z) U."""
        return ((*self.event_shape, self.rank),)

    def placed(self, loc: Tensor, log_scale: Tensor, factor: Tensor) -> Distribution:
        """See ``LocationScalePosterior``."""
        length = math.sqrt(self.rank * self.event_shape[0])
        return LowRankNormal(loc, log_scale.exp(), factor / length)

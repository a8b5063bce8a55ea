"""The Gaussian posterior with a low-rank plus diagonal covariance."""

import math

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.low_rank_normal import LowRankNormal
from vi.errors import require_positive
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class LowRankGaussian(LocationScalePosterior):
    """Low-rank Gaussian q(z|x) = N(z; mu(x), W(x) W(x)' + diag(s(x)^2)) with W = diag(s) U.

    The network outputs log s and U, the directions in units of s. Every covariance of this form
    can be reached, and none is hard to invert. The network outputs sqrt(R Z) U, so that optimiser
    noise in all entries of U together costs as little as it would in one.

    Args:
        latent_dim: Z; the network outputs (2 + R) Z numbers.
        rank: R, the number of directions.

    Raises:
        ConfigurationError: ``latent_dim`` or ``rank`` is not positive.

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
        """Shape of sqrt(R Z) U, (Z, R)."""
        return ((*self.event_shape, self.rank),)

    def placed(self, loc: Tensor, log_scale: Tensor, factor: Tensor) -> Distribution:
        """Return N(mu, W W' + diag(s^2)) over vectors (Z,).

        Args:
            loc: mu, (*batch, Z).
            log_scale: log s, (*batch, Z).
            factor: sqrt(R Z) U, (*batch, Z, R).
        """
        length = math.sqrt(self.rank * self.event_shape[0])
        return LowRankNormal(loc, log_scale.exp(), factor / length)

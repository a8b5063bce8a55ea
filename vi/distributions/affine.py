"""A distribution in other units."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.math import Shape


def affine(
    distribution: Distribution, loc: Tensor, scale: Tensor, dtype: torch.dtype | None = None
) -> Distribution:
    """The distribution of loc + scale * x, entry by entry, for x from this one.

    >>> from torch.distributions import Normal
    >>> wide = affine(Normal(torch.tensor(1.0), 2.0), torch.tensor(5.0), torch.tensor(3.0))
    >>> wide.mean, wide.stddev
    (tensor(8.), tensor(6.))
    """
    if isinstance(distribution, Independent):
        base = affine(distribution.base_dist, loc, scale, dtype)
        return Independent(base, distribution.reinterpreted_batch_ndims)
    return Affine(distribution, loc, scale, dtype)


class Affine(Distribution):
    """y = loc + scale x with log p(y) = log p((y - loc) / scale) - log scale.

    y is carried over in the precision of loc and scale, and only then cast to that of x, so that
    what lies close together far from 0 stays apart.

    Args:
        base: Of x, a distribution for every entry, (*batch).
        loc: Broadcasts to (*batch).
        scale: Positive, broadcasts to (*batch).
        dtype: The precision of x; if not given, whatever comes of loc and scale.

    >>> from torch.distributions import Normal
    >>> loc, scale = torch.tensor([1.7e9, 2.0], dtype=torch.float64)
    >>> Affine(Normal(torch.tensor(0.5), 1.0), loc, scale, torch.float32).log_prob(loc + 1)
    tensor(-1.6121)
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(
        self, base: Distribution, loc: Tensor, scale: Tensor, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(base.batch_shape, validate_args=False)
        self.base, self.loc, self.scale, self.dtype = base, loc, scale, dtype

    @property
    def mean(self) -> Tensor:
        """(*batch), in the units of y."""
        return self.loc + self.scale * self.base.mean

    @property
    def variance(self) -> Tensor:
        """(*batch), in the units of y."""
        return self.scale.square() * self.base.variance

    @property
    def stddev(self) -> Tensor:
        """(*batch), in the units of y."""
        return self.scale * self.base.stddev

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch)."""
        return self.loc + self.scale * self.base.sample(torch.Size(sample_shape))

    def within(self, value: Tensor) -> Tensor:
        """The x of this y."""
        return ((value - self.loc) / self.scale).to(self.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats, (*batch)."""
        return self.base.log_prob(self.within(value)) - self.log_scale

    @property
    def log_scale(self) -> Tensor:
        """What a density loses."""
        return self.scale.log().to(self.dtype)

"""Affine changes of variable: the same distribution in other units."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.math import Shape


def affine(
    distribution: Distribution, loc: Tensor, scale: Tensor, dtype: torch.dtype | None = None
) -> Distribution:
    """Return the distribution of y = loc + scale * x, entry by entry, for x from ``distribution``.

    An ``Independent`` stays an ``Independent``: its entries are transformed, its event shape is
    kept.

    Args:
        distribution: Distribution of x with batch_shape (*batch) and event_shape (*event).
        loc: Offset of y, in its units; broadcasts to (*batch, *event).
        scale: Positive factor, in the units of y; broadcasts to (*batch, *event).
        dtype: Precision of x; if None, that of loc and scale.

    Returns:
        A distribution of the same shapes over y.

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
    """Distribution of y = loc + scale x, with log p(y) = log p((y - loc) / scale) - log scale.

    y is first standardised in the precision of loc and scale and only then cast to the precision
    of x, so that values far from 0 that differ by little remain distinct.

    Args:
        base: Distribution of x over single entries, with batch_shape (*batch).
        loc: Offset; broadcasts to (*batch).
        scale: Positive factor; broadcasts to (*batch).
        dtype: Precision of x; if None, that of loc and scale.

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
        """loc + scale E[x], (*batch), in the units of y."""
        return self.loc + self.scale * self.base.mean

    @property
    def variance(self) -> Tensor:
        """scale^2 Var[x], (*batch), in the squared units of y."""
        return self.scale.square() * self.base.variance

    @property
    def stddev(self) -> Tensor:
        """scale sd[x], (*batch), in the units of y."""
        return self.scale * self.base.stddev

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw y without a gradient, (*sample_shape, *batch)."""
        return self.loc + self.scale * self.base.sample(torch.Size(sample_shape))

    def within(self, value: Tensor) -> Tensor:
        """Return the x of this y, (y - loc) / scale, in the precision of x."""
        return ((value - self.loc) / self.scale).to(self.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(y) in nats, (*batch)."""
        return self.base.log_prob(self.within(value)) - self.log_scale

    @property
    def log_scale(self) -> Tensor:
        """log scale in the precision of x: what the change of variable subtracts from log p."""
        return self.scale.log().to(self.dtype)

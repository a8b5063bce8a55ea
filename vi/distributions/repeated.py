"""The same distribution for each of several data."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.math import Shape


class Repeated(Distribution):
    """p(z) as a distribution with batch_shape (n,), for any p with batch_shape ().

    It draws and scores as p does. torch's ``expand`` needs a method of each distribution, which
    mixtures and flows do not have.

    Args:
        p: The distribution.
        n: Number of data.

    >>> from torch.distributions import Independent, Normal
    >>> p = Repeated(Independent(Normal(torch.zeros(2), 1.0), 1), 5)
    >>> p.batch_shape, p.sample((3,)).shape, p.log_prob(torch.zeros(3, 5, 2)).shape
    (torch.Size([5]), torch.Size([3, 5, 2]), torch.Size([3, 5]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, p: Distribution, n: int) -> None:
        super().__init__(torch.Size([n]), p.event_shape, validate_args=False)
        self.p = p

    @property
    def support(self) -> Any:
        """That of p."""
        return self.p.support

    @property
    def has_rsample(self) -> bool:  # pyright: ignore
        """As p has."""
        return self.p.has_rsample

    @property
    def mean(self) -> Tensor:
        """Mean, (n, *event)."""
        return self.p.mean.expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """Variance, (n, *event)."""
        return self.p.variance.expand(self.batch_shape + self.event_shape)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw independently for each datum, (*sample_shape, n, *event)."""
        return self.p.sample(torch.Size(sample_shape) + self.batch_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw with a pathwise gradient, (*sample_shape, n, *event)."""
        return self.p.rsample(torch.Size(sample_shape) + self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p in nats, (..., n)."""
        return self.p.log_prob(value)


def draw_each(q: Distribution, num_samples: int) -> Tensor:
    """Draw z ~ q for each datum without a gradient, (K, B, *Z).

    A repeated p draws datum by datum: what it draws inside, as the component of a mixture, has no
    axis of the data, by which ``datum_noise`` could tell them apart.

    Args:
        q: With batch_shape (B,).
        num_samples: K.
    """
    if not isinstance(q, Repeated):
        return draw(q, num_samples).z.detach()
    one = Repeated(q.p, 1)
    parts = [draw(one, num_samples).z for _ in groups_of_rows(q.batch_shape[0], 1)]
    return torch.cat(parts, 1).detach()

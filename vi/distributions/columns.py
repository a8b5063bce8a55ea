"""Tables whose columns have different distributions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.protocols import Exposable
from vi.math import Shape


def apart(x: Tensor, order: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    """Split the columns of a table into groups.

    Args:
        x: Table (.., D).
        order: Columns in the order of the groups, (D,).
        sizes: Number of columns in each group; they add up to D.

    Returns:
        One tensor (.., D_i) per group.
    """
    return x.index_select(-1, order).split(sizes, -1)


def beside(groups: list[Tensor], order: Tensor) -> Tensor:
    """Join groups of columns into one table; the inverse of ``apart``.

    Args:
        groups: Tensors (.., D_i), whose other axes broadcast.
        order: Columns of the table in the order of the groups, (D,).

    Returns:
        The table, (.., D).

    >>> order = torch.tensor([0, 2, 1])
    >>> beside(list(apart(torch.tensor([5.0, 6.0, 7.0]), order, [2, 1])), order)
    tensor([5., 6., 7.])
    """
    lead = torch.broadcast_shapes(*(group.shape[:-1] for group in groups))
    whole = [group.expand(*lead, -1) for group in groups]
    return torch.cat(whole, -1).index_select(-1, order.argsort())


class Columns(Exposable, Distribution):
    """Independent entries from several distributions, each of which covers some of the columns.

    Args:
        parts: Distributions of single entries, with batch_shape (*batch, D_i); an axis of *batch
            may be 1 in some of them.
        order: The columns that the parts cover, part after part, (D,).

    >>> from torch.distributions import Bernoulli, Normal
    >>> parts = [Normal(torch.zeros(5, 2), 1.0), Bernoulli(logits=torch.zeros(5, 1))]
    >>> Columns(parts, torch.tensor([0, 2, 1])).mean[0]
    tensor([0.0000, 0.5000, 0.0000])
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, parts: Sequence[Distribution], order: Tensor) -> None:
        lead = torch.broadcast_shapes(*(part.batch_shape[:-1] for part in parts))
        super().__init__(torch.Size([*lead, len(order)]), validate_args=False)
        self.parts, self.order = parts, order

    @property
    def mean(self) -> Tensor:
        """Mean of every entry, (*batch, D)."""
        return beside([p.mean for p in self.parts], self.order)

    @property
    def variance(self) -> Tensor:
        """Variance of every entry, (*batch, D)."""
        return beside([p.variance for p in self.parts], self.order)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw every entry, (*sample_shape, *batch, D)."""
        return beside([p.sample(torch.Size(sample_shape)) for p in self.parts], self.order)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of every entry in nats, (*batch, D)."""
        sizes = [p.batch_shape[-1] for p in self.parts]
        values = zip(self.parts, apart(value, self.order, sizes), strict=True)
        return beside([p.log_prob(v) for p, v in values], self.order)

    def exposed(self, log_exposure: Tensor) -> "Columns":
        """Multiply the means of count columns by exp(log_exposure); keep the other columns."""
        parts = [p.exposed(log_exposure) if isinstance(p, Exposable) else p for p in self.parts]
        return Columns(parts, self.order)

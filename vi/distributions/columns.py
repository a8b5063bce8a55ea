"""Columns of different distributions beside one another."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.math import Shape


class Columns(Distribution):
    """Independent entries, of which each part gives some: batch_shape (*batch, D).

    Args:
        parts: Distributions of single entries, with batch_shape (*batch, D_i).
        order: The columns that the parts give, part after part, (D,).

    >>> from torch.distributions import Bernoulli, Normal
    >>> parts = [Normal(torch.zeros(5, 2), 1.0), Bernoulli(logits=torch.zeros(5, 1))]
    >>> Columns(parts, torch.tensor([0, 2, 1])).mean[0]
    tensor([0.0000, 0.5000, 0.0000])
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, parts: Sequence[Distribution], order: Tensor) -> None:
        super().__init__(torch.Size([*parts[0].batch_shape[:-1], len(order)]), validate_args=False)
        self.parts, self.order = parts, order

    @property
    def mean(self) -> Tensor:
        """(*batch, D)."""
        return self._joined([p.mean for p in self.parts])

    @property
    def variance(self) -> Tensor:
        """(*batch, D)."""
        return self._joined([p.variance for p in self.parts])

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch, D)."""
        return self._joined([p.sample(torch.Size(sample_shape)) for p in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats, of every entry, (*batch, D)."""
        sizes = [p.batch_shape[-1] for p in self.parts]
        values = value.index_select(-1, self.order).split(sizes, -1)
        return self._joined([p.log_prob(v) for p, v in zip(self.parts, values, strict=True)])

    def _joined(self, of_parts: list[Tensor]) -> Tensor:
        return torch.cat(of_parts, -1).index_select(-1, self.order.argsort())

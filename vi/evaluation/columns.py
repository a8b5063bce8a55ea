"""Means over a data set that do not depend on how it was cut into batches."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vi.bounds.base import Estimate


class Columns:
    """Collects (B,) columns by name; reduces once, in float64.

    >>> means = Columns()
    >>> means.add({"elbo": torch.tensor([-1.0, -2.0])})
    >>> means.add({"elbo": torch.tensor([-6.0])})
    >>> means.mean()
    {'elbo': -3.0}
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Tensor]] = {}

    def add(self, columns: Mapping[str, Tensor]) -> None:
        """Add the rows of a batch; nothing is computed, so nothing waits for the device."""
        for name, column in columns.items():
            self.columns.setdefault(name, []).append(column.detach())

    def column(self, name: str) -> Tensor:
        """All rows, (N,), float64, on the CPU."""
        return torch.cat(self.columns[name]).cpu().double()

    def mean(self) -> dict[str, float]:
        """The mean of every column."""
        return {name: self.column(name).mean().item() for name in self.columns}

    def first_not_finite(self) -> int:
        """The first batch that holds a NaN or an infinity; there has to be one."""
        batches = zip(*self.columns.values(), strict=True)
        return next(i for i, b in enumerate(batches) if not all(c.isfinite().all() for c in b))


def terms(estimate: Estimate) -> dict[str, Tensor]:
    """What is logged of an estimate: its value as ``bound``, and its terms."""
    return {"bound": estimate.value, **estimate.terms}

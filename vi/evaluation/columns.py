"""Means over a data set that do not depend on the batch size."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vi.bounds.base import Estimate


class Columns:
    """Collects columns (B,) by name and reduces them once, in float64.

    A mean of batch means would weight a smaller last batch too much, and a running float32 sum
    would depend on the order; here every datum counts the same.

    >>> means = Columns()
    >>> means.add({"elbo": torch.tensor([-1.0, -2.0])})
    >>> means.add({"elbo": torch.tensor([-6.0])})
    >>> means.mean()
    {'elbo': -3.0}
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Tensor]] = {}

    def add(self, columns: Mapping[str, Tensor]) -> None:
        """Store the rows of a batch; nothing is computed, so nothing waits for the device."""
        for name, column in columns.items():
            self.columns.setdefault(name, []).append(column.detach())

    def column(self, name: str) -> Tensor:
        """Return all rows of a column, (N,), float64, on the CPU."""
        return torch.cat(self.columns[name]).cpu().double()

    def mean(self) -> dict[str, float]:
        """Return the mean of every column."""
        return {name: self.column(name).mean().item() for name in self.columns}

    def by_datum(self, repeats: int = 1) -> dict[str, Tensor]:
        """Return the columns (N,) with one row for each datum.

        Args:
            repeats: How many times in turn each batch was added; their mean is returned.

        >>> means = Columns()
        >>> for batch in ([1.0, 2.0], [3.0, 2.0], [5.0], [7.0]):
        ...     means.add({"elbo": torch.tensor(batch)})
        >>> means.by_datum(2)["elbo"].tolist()
        [2.0, 2.0, 6.0]
        """
        return {
            name: torch.cat(
                [
                    torch.stack(rows[i : i + repeats]).double().mean(0)
                    for i in range(0, len(rows), repeats)
                ]
            ).cpu()
            for name, rows in self.columns.items()
        }

    def first_not_finite(self) -> int:
        """Return the number of the first batch with a NaN or an infinity; there must be one."""
        batches = zip(*self.columns.values(), strict=True)
        return next(i for i, b in enumerate(batches) if not all(c.isfinite().all() for c in b))


def replaced(
    columns: Mapping[str, Tensor], rows: Tensor, others: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return columns (N,) with the rows of others (M,) in their places; NaN where there is none.

    >>> a = {"value": torch.tensor([1.0, 2.0])}
    >>> replaced(a, torch.tensor([1]), {"value": torch.tensor([3.0]), "k": torch.tensor([0.5])})
    {'value': tensor([1., 3.]), 'k': tensor([   nan, 0.5000])}
    """
    n = len(next(iter(columns.values())))
    whole = {name: column.clone() for name, column in columns.items()}
    for name, column in others.items():
        whole.setdefault(name, column.new_full((n,), math.nan))[rows] = column
    return whole


def terms(estimate: Estimate) -> dict[str, Tensor]:
    """Return what is logged of an estimate: its value under the name ``bound``, and its terms."""
    return {"bound": estimate.value, **estimate.terms}

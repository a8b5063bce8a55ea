"""The interface of statistics of a data set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vi.figures.grid import is_image
from vi.options import Configurable


class Statistic(Configurable, ABC):
    """T(x) of a data set, a number or one for each column of a table.

    An implementer sets ``title`` and writes ``__call__``; also ``applies`` if the statistic is not
    for all data, and ``parts`` if its numbers do not belong to the columns.

    x is (N, D) for a table and (N, C, H, W) for images, with NaN at missing entries.

    >>> class Median(Statistic):
    ...     title = "median"
    ...
    ...     def __call__(self, x):
    ...         return columns_of(x).nanmedian(0).values
    >>> Median()(torch.tensor([[1.0, 5.0], [2.0, torch.nan], [9.0, 7.0]]))
    tensor([2., 5.])
    """

    title: str
    """What it is called in tables and pictures."""

    @abstractmethod
    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the statistic of a data set."""

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Whether the statistic says something about such data; by default of all data."""
        del x
        return True

    def parts(self, columns: Sequence[str]) -> list[str]:
        """Return the names of the S numbers of a table, from those of its columns."""
        return list(columns)


def columns_of(x: Float[Tensor, " N *event"]) -> Float[Tensor, "M D"]:
    """Return the columns of a table; the pixels of images together are one column.

    >>> columns_of(torch.zeros(5, 3)).shape, columns_of(torch.zeros(5, 1, 2, 2)).shape
    (torch.Size([5, 3]), torch.Size([20, 1]))
    """
    return x.reshape(-1, 1) if is_image(x.shape[1:]) else x.flatten(1)


def are_whole(x: Tensor) -> bool:
    """Whether all known values are whole numbers of at least 0, as counts and bits are."""
    known = x[~x.isnan()]
    return bool(((known >= 0) & (known == known.round())).all())


def are_bits(x: Tensor) -> bool:
    """Whether all known values are 0 or 1."""
    return are_whole(x) and bool(x.nan_to_num(0.0).le(1).all())


def are_counts(x: Tensor) -> bool:
    """Whether all known values are whole numbers, and some are above 1."""
    return are_whole(x) and not are_bits(x)


def deviation(x: Float[Tensor, "M D"]) -> Float[Tensor, " D"]:
    """Return the standard deviation of the known values of each column, with the divisor M.

    >>> deviation(torch.tensor([[1.0], [3.0], [torch.nan]]))
    tensor([1.])
    """
    return (x - x.nanmean(0)).square().nanmean(0).sqrt()


def filled(x: Float[Tensor, "M D"]) -> Float[Tensor, "M D"]:
    """Return the table with the mean of its column at missing entries."""
    return torch.where(x.isnan(), x.nanmean(0).nan_to_num(), x)

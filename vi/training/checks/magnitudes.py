"""Checks, column by column, that networks can read numbers of this size."""

from collections.abc import Callable

import torch
from torch import Tensor

from vi.data.base import LoadedData, Split
from vi.data.columns import column_names
from vi.errors import DataError
from vi.models.base import LatentVariableModel
from vi.training.checks.suggestions import blocks

_LARGE = 1e4  # networks read numbers up to this; beyond it a scale of exp(network) overflows
_UNUSUAL = 10.0  # beyond it a run may diverge unless the data are standardised
_FAR = 1e15  # in spreads of the data; single precision holds thousands of squares of it
_DIGITS = 0.01  # part of a standard deviation that single precision may lose
_SAMPLE = 4096  # number of training data from which a spread is computed


def check_magnitudes(data: LoadedData, model: LatentVariableModel) -> None:
    """Refuse real numbers that networks would read as infinite or as all equal.

    A model that standardises its data accepts numbers of any size, if the size of all is similar.

    Raises:
        DataError: Such a number was found; the error names the column, the item and the value.
    """
    real = model.network_entries().flatten()
    if not real.any() or not data.train.stored.is_floating_point():  # bytes are never far
        return
    centre, spread = _centre_and_spread(data.train, real)
    way = model.calming()
    if way:
        _check_small("training", data.train, real, data, way)
        _check_digits(centre, spread, data, way)
        return
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    for name, split in splits.items():
        if split is not None:
            _check_near(name, split, centre, spread, data)


def steadying(data: LoadedData, model: LatentVariableModel) -> str:
    """Return a hint for a loss that became infinite or NaN: from the data, or the usual advice."""
    real, way = model.network_entries().flatten(), model.calming()
    if way and real.any():
        size, _, column = _most(data.train, lambda x: x.abs().where(real.to(x.device), 0.0))
        if size > _UNUSUAL:
            return f"{_column(column, data)} reaches {size:.4g}: {way}"
    return "lower optimizer.lr, or set scheme.gradient_clip_norm=1"


def _check_small(name: str, split: Split, real: Tensor, data: LoadedData, way: str) -> None:
    """Refuse a number above 1e4 if the model does not scale its data."""
    size, item, column = _most(split, lambda x: x.abs().where(real, 0.0))
    if size > _LARGE:
        raise DataError(
            f"{_said(name, split, item, column, data)}, too large for networks without scaling",
            hint=way,
        )


def _check_digits(centre: Tensor, spread: Tensor, data: LoadedData, way: str) -> None:
    """Refuse a column whose variation single precision would lose, such as 1e9 + N(0, 1)."""
    rounding = torch.finfo(torch.get_default_dtype()).eps
    lost = rounding * centre.abs() > _DIGITS * spread
    if lost.any():
        column = int(lost.nonzero()[0])
        raise DataError(
            f"{_column(column, data)} lies at {centre[column]:.6g} with a spread of "
            f"{spread[column]:.2g}, too little for networks without scaling",
            hint=way,
        )


def _check_near(name: str, split: Split, centre: Tensor, spread: Tensor, data: LoadedData) -> None:
    """Refuse a number whose distance from the others overflows after standardisation."""
    distance, item, column = _most(split, lambda x: (x - centre).abs() / spread)
    if distance > _FAR:
        raise DataError(
            f"{_said(name, split, item, column, data)}, {distance:.1g} times as far from the "
            "others as these are from each other",
            hint="if it marks a missing value, leave the cell empty or NaN, and data.missing=mask",
        )


def _most(split: Split, measure: Callable[[Tensor], Tensor]) -> tuple[float, int, int]:
    """Return the largest measure of x (B, D), its item and its column."""
    best, offset = (-1.0, 0, 0), 0
    for x, known in blocks(split):
        sizes = measure(x.double().where(known, torch.nan).flatten(1)).nan_to_num(-1.0, torch.inf)
        most, place = sizes.flatten().max(0)
        if most.item() > best[0]:
            item, column = divmod(int(place), sizes.shape[1])
            best = most.item(), offset + item, column
        offset += len(x)
    return best


def _centre_and_spread(train: Split, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return median and median deviation of each column; 0 and infinity if it is not real."""
    index = train.spread(min(len(train), _SAMPLE))
    x = train.values(index).double()
    x = (x if train.observed is None else x.where(train.observed[index], torch.nan)).flatten(1)
    centre = x.nanmedian(0).values.nan_to_num()
    distance = (x - centre).abs()
    spread = distance.nanmedian(0).values.nan_to_num()
    mean = distance.nanmean(0).nan_to_num()  # where most of a column is one number
    spread = torch.where(spread > 0, spread, mean)
    real = real.to(x.device)
    return centre.where(real, 0.0), spread.where(real & (spread > 0), torch.inf)


def _said(name: str, split: Split, item: int, column: int, data: LoadedData) -> str:
    """Return the part of the message with the column, the split, the value and the item."""
    index = torch.tensor([item], device=split.stored.device)
    value = split.values(index).flatten()[column].item()
    return f"{_column(column, data)} of the {name} data contains {value:.6g} (item {item})"


def _column(number: int, data: LoadedData) -> str:
    """Return the name of a column, or its number if the data have no names."""
    names = column_names(data.facts, torch.Size(data.shape).numel())
    return f"column {names[number]!r}" if names else f"entry {number}"

"""A data set, loaded or not, as what is trained on."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from vi.data.base import DataSet, LoadedData, Split
from vi.errors import DataError

_HINT = (
    "give a data set such as vi.data.NPZ('a.npz'), or a vi.LoadedData whose splits are "
    "vi.Values(tensor)"
)


def loaded(data: object, seed: int = 0) -> LoadedData:
    """Load a data set, or look at one that is loaded.

    Args:
        data: A ``DataSet`` or ``LoadedData``; anything else is refused by what it is.
        seed: Of the fixed bits of validation and test data.

    Raises:
        DataError: It is no data set, or its splits are none, or their rows are not of one number.
    """
    if isinstance(data, DataSet):
        data = replace(_checked(data.load(seed)), option=data)
    return _checked(data)


def _checked(data: object) -> LoadedData:
    if not isinstance(data, LoadedData):
        raise DataError(f"data is no data set, it is {_told(data)}", hint=_HINT)
    for name in ("train", "val", "test"):
        split = getattr(data, name)
        if split is not None or name != "val":
            _check_split(name, split)
    return data


def _check_split(name: str, split: object) -> None:
    if not isinstance(split, Split) or not isinstance(split.stored, Tensor):
        held = getattr(split, "stored", split)
        raise DataError(f"the {name} split is no split of data, it is {_told(held)}", hint=_HINT)
    if not split.stored.ndim:
        raise DataError(f"the {name} split is a single number", hint="a row for each item")
    rows = {"observed": split.observed} if split.observed is not None else {}
    for what, column in {**split.given, **rows}.items():
        if not isinstance(column, Tensor) or column.shape[:1] != split.stored.shape[:1]:
            raise DataError(
                f"the {name} split has {len(split.stored)} items; its {what!r} is {_told(column)}",
                hint="a tensor with one row for each item is needed",
            )


def _told(thing: Any) -> str:
    """What a thing is: its kind, and its shape or value where that is short."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}, not one of its instances"
    shape = getattr(thing, "shape", None)
    if shape is not None:
        return f"a {type(thing).__name__} of shape {tuple(shape)}"
    if thing is None or isinstance(thing, str | int | float):
        return repr(thing)[:60]
    return f"a {type(thing).__name__}"

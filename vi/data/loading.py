"""Accept a data set that is to be loaded, or one that is loaded already."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from vi.data.base import DataSet, LoadedData, Split
from vi.errors import DataError

_HINT = (
    "give a data set such as vi.data.NPZ('a.npz'), or a vi.data.LoadedData whose splits are "
    "vi.data.Values(tensor)"
)


def loaded(data: object, seed: int = 0) -> LoadedData:
    """Load a data set, or check one that is loaded.

    Args:
        data: A ``DataSet`` or ``LoadedData``; the message for anything else describes it.
        seed: Seed of the fixed bits of validation and test data.

    Raises:
        DataError: It is not a data set, a split is not a ``Split``, or the tensors of a split
            differ in their number of rows.
    """
    if isinstance(data, DataSet):
        data = replace(_checked(data.load(seed)), option=data)
    return _checked(data)


def _checked(data: object) -> LoadedData:
    """Refuse what is not loaded data, or has wrong splits."""
    if not isinstance(data, LoadedData):
        raise DataError(f"data is not a data set: it is {_told(data)}", hint=_HINT)
    for name in ("train", "val", "test"):
        split = getattr(data, name)
        if split is not None or name != "val":
            _check_split(name, split)
    return data


def _check_split(name: str, split: object) -> None:
    """Refuse a split without a tensor, or with tensors of unequal numbers of rows."""
    if not isinstance(split, Split) or not isinstance(split.stored, Tensor):
        held = getattr(split, "stored", split)
        raise DataError(
            f"the {name} split is not a split of data: it is {_told(held)}", hint=_HINT
        )
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
    """Describe an object by its type, and by its shape or value if that is short."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}, not one of its instances"
    shape = getattr(thing, "shape", None)
    if shape is not None:
        return f"a {type(thing).__name__} of shape {tuple(shape)}"
    if thing is None or isinstance(thing, str | int | float):
        return repr(thing)[:60]
    return f"a {type(thing).__name__}"

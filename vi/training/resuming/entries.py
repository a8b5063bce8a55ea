"""Validation of single entries of a checkpoint.

An entry is compared with those that the same part has produced. Entries whose length may grow
(statistics, histories) are compared by type only.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SCALARS = (bool, int, float, str, type(None))
_MOST = 1 << 53  # largest value of a counter


class Unfit(Exception):
    """An entry that does not fit; the message names the entry and the mismatch."""


def require(true: object, where: str, told: str) -> None:
    """Raise an error for an entry, unless the condition is true.

    Raises:
        Unfit: ``true`` is false.
    """
    if not true:
        raise Unfit(f"{where} {told}")


def require_like(value: Any, forms: Sequence[Any], where: str) -> None:
    """Refuse a plain value that has none of the given forms.

    Raises:
        Unfit: The value has another form.
    """
    if isinstance(value, Mapping):
        alike = [form for form in forms if isinstance(form, Mapping)]
        require(any(value.keys() == form.keys() for form in alike), where, "has other entries")
        for key in value:
            require_like(
                value[key], [form[key] for form in alike if key in form], f"{where}.{key}"
            )
    elif isinstance(value, list | tuple):
        alike = [form for form in forms if isinstance(form, list | tuple)]
        elements = [element for form in alike for element in form]
        grows = bool(elements) and all(isinstance(e, Mapping) for e in elements)
        lengths = {len(form) for form in alike}
        require(bool(alike) and (grows or len(value) in lengths), where, "has another length")
        for i, element in enumerate(value):
            require_like(element, elements, f"{where}[{i}]")
    else:
        fits = _is_known(value, forms) if isinstance(value, str) else _is_any(value, forms)
        require(fits, where, f"is {_told(value)}")


def _is_known(text: str, forms: Sequence[Any]) -> bool:
    """Return whether a text is one of the expected ones; any text is if all of those are None."""
    return text in [form for form in forms if form is not None] or (
        bool(forms) and all(form is None for form in forms)
    )


def _is_any(value: Any, forms: Sequence[Any]) -> bool:
    """Return whether a value is like one of the forms."""
    return any(_is_alike(value, form) for form in forms)


def _is_alike(value: Any, form: Any) -> bool:
    """Return whether a value has the type of a form, and for tensors its shape."""
    if isinstance(form, Tensor):
        same = is_dense(value) and value.shape == form.shape and value.dtype == form.dtype
        return same and not value.isnan().any()
    if value is None or form is None:
        kinds = (type(None), bool, int, float)
        return type(value) in kinds if form is None else type(form) is bool
    if isinstance(form, bool) or isinstance(value, bool):
        return type(value) is type(form)
    return is_number(form) and is_number(value) and value == value


def _told(value: Any) -> str:
    """Return a short description of a value, for messages."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"{value!r}"[:40]


def is_dense(value: Any) -> bool:
    """Return whether a value is a dense tensor with storage."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def is_number(value: Any, *, finite: bool = False) -> bool:
    """Return whether a value is a plain number and not a bool."""
    return type(value) in (int, float) and (not finite or math.isfinite(value))


def require_number(value: Any, where: str) -> None:
    """Refuse a value that is not finite or is below 0.

    Raises:
        Unfit: The value is not a finite number of at least 0.
    """
    fits = is_number(value, finite=True) and value >= 0
    require(fits, where, f"is {_told(value)}")


def require_count(value: Any, where: str, *, least: int = 0, most: int = _MOST) -> None:
    """Refuse a value that is not a whole number in the given range.

    Raises:
        Unfit: The value is not such a number.
    """
    fits = type(value) is int and least <= value <= most
    require(fits, where, f"is {_told(value)}")

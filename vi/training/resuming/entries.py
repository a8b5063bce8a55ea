"""Whether single entries of a checkpoint have a form that they may have.

An entry is compared with those that the same part has made; what may grow (statistics, histories)
by its kind.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SCALARS = (bool, int, float, str, type(None))
_MOST = 1 << 53  # of a counter


class Unfit(Exception):
    """What does not fit, and how."""


def require(true: object, where: str, told: str) -> None:
    """Refuse an entry, unless this is true.

    Raises:
        Unfit: It is not.
    """
    if not true:
        raise Unfit(f"{where} {told}")


def require_like(value: Any, forms: Sequence[Any], where: str) -> None:
    """Refuse a plain value that has the form of none of these.

    Raises:
        Unfit: It has another.
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
    """One of the words that may stand there; any, where nothing has been said so far."""
    return text in [form for form in forms if form is not None] or (
        bool(forms) and all(form is None for form in forms)
    )


def _is_any(value: Any, forms: Sequence[Any]) -> bool:
    return any(_is_alike(value, form) for form in forms)


def _is_alike(value: Any, form: Any) -> bool:
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
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"{value!r}"[:40]


def is_dense(value: Any) -> bool:
    """Whether it is a tensor that holds its numbers one by one."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def is_number(value: Any, *, finite: bool = False) -> bool:
    """Whether it is a plain number, and no bool."""
    return type(value) in (int, float) and (not finite or math.isfinite(value))


def require_number(value: Any, where: str) -> None:
    """Refuse what is not finite or is below 0.

    Raises:
        Unfit: It is.
    """
    fits = is_number(value, finite=True) and value >= 0
    require(fits, where, f"is {_told(value)}")


def require_count(value: Any, where: str, *, least: int = 0, most: int = _MOST) -> None:
    """Refuse what is no whole number of this range.

    Raises:
        Unfit: It is none.
    """
    fits = type(value) is int and least <= value <= most
    require(fits, where, f"is {_told(value)}")

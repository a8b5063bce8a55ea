"""What a caller hands to a model: made a tensor that the model can read, or refused by name.

One look at the door. Behind it, and in training and evaluation, which have looked at their data
before, everything runs within ``as_it_is``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce, wraps
from operator import or_
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from vi.errors import DataError
from vi.support import first_of, outside, told

__all__ = ["as_it_is"]

P = ParamSpec("P")
R = TypeVar("R")

_looked_at: ContextVar[bool] = ContextVar("looked_at", default=False)
_NUMBERS = "biuf"  # kinds of numpy
_GIVEN = {"context", "exposure"}
_MASKS = ("observed", "held_out")


@contextmanager
def as_it_is() -> Iterator[None]:
    """Within this block, or in a function decorated with it, data are taken as they come.

    For a loop of one's own that is fed with tensors of the model's kind: nothing is converted, and
    nothing waits for the device to say whether all numbers are in the support.
    """
    token = _looked_at.set(True)
    try:
        yield
    finally:
        _looked_at.reset(token)


def admitting(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of (.., model, x, ..) take any x that ``admitted`` takes, and what is given.

    Raises:
        DataError: See ``admitted``.
    """
    signature, call_by_name = inspect.signature(function), cast("Callable[..., R]", function)
    names = list(signature.parameters)
    leading = names[: names.index("x") + 1]  # ends with the model and x
    keywords = next((n for n, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), "")

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling() or _looked_at.get():
            return function(*args, **kwargs)
        call = signature.bind(*args, **kwargs)
        arguments = dict(call.arguments)
        arguments |= arguments.pop(keywords, {})
        behind = {k: v for k, v in arguments.items() if k not in leading[:-1]}
        arguments |= admitted(arguments[leading[-2]], **behind)
        with as_it_is():
            return call_by_name(*[arguments.pop(name) for name in leading], **arguments)

    return wrapper


def admitted(model: Any, x: Any, **others: Any) -> dict[str, Any]:
    """Data as this model reads them.

    Arrays and lists of numbers and bits become tensors on the model's device. What holds them
    without loss changes: whole numbers, bits and half precision to the precision of the model,
    doubles too where the model does not read doubles; one axis of a datum to several and back.

    Args:
        model: A ``LatentVariableModel``.
        x: Data (B, *event).
        **others: Of these ``context`` (B, C), ``exposure`` (B,), and ``observed`` and ``held_out``
            (B, *event), true where x is known, are data too; the rest stays as it is.

    Returns:
        x and the others, by name.

    Raises:
        DataError: No numbers; another shape or device; no rows; NaN, infinite, or outside the
            support of the likelihood in an entry that is known.
    """
    like = _like(model)
    before = x = _tensor("x", x, like.device)
    x = _shaped(x, tuple(model.data_shape))
    known = {k: v for k, v in others.items() if k in (*_MASKS, *_GIVEN) and v is not None}
    tensors = {k: _tensor(k, v, like.device) for k, v in known.items()}
    masks = {k: _mask(k, tensors[k], before, x) for k in _MASKS if k in tensors}
    given = {
        k: _rows(k, _in_precision(k, tensors[k], like.dtype), x) for k in _GIVEN & tensors.keys()
    }
    x = _in_precision("x", x, like.dtype, doubles=model.takes_doubles)
    _check_values(model, x, masks)
    return others | {"x": x} | given | masks


def _like(model: Any) -> Tensor:
    """A parameter by which precision and device are known; else an empty tensor."""
    parameters = model.inference.own_parameters() or model.parameters()
    floating = (p for p in parameters if p.is_floating_point())
    return next(floating, torch.empty(0))


def _tensor(name: str, value: Any, device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        if value.device != device:
            raise DataError(
                f"{name} is on {value.device}, the model on {device}",
                hint=f'{name}.to("{device}"), or model.to("{value.device}")',
            )
        if not value.is_complex():
            return value
    try:
        array = np.asarray(value)
        if array.dtype.kind in _NUMBERS:
            return torch.tensor(array.astype(array.dtype.newbyteorder("=")), device=device)
    except (TypeError, ValueError, RuntimeError):  # ragged, or of a type that torch lacks
        pass
    raise DataError(
        f"{name} is no tensor of numbers, but {_kind(value)}",
        hint="give a tensor, an array or lists of numbers; vi.fit takes data sets",
    )


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + ("" if dtype is None else f" of {dtype}")


def _shaped(x: Tensor, event: tuple[int, ...]) -> Tensor:
    """The same numbers as (B, *event), if they lie in the same order."""
    if x.ndim and x.shape[1:] == event:
        found = x
    elif x.ndim and _same_order(tuple(x.shape[1:]), event):
        found = x.reshape(len(x), *event)
    else:
        size = ", ".join(map(str, event))
        single = tuple(x.shape) == event
        raise DataError(
            f"x has shape {tuple(x.shape)}, the model takes (B, {size})",
            hint="x[None] is a batch of one datum" if single else "one row for each datum",
        )
    if not len(x):
        raise DataError("x has no rows", hint="give at least one datum")
    return found


def _same_order(ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    """Whether one is flat, or they differ by axes of 1 alone."""
    if torch.Size(ours).numel() != torch.Size(theirs).numel():
        return False
    long = [[n for n in shape if n != 1] for shape in (ours, theirs)]
    return len(ours) == 1 or len(theirs) == 1 or long[0] == long[1]


def _in_precision(
    name: str, value: Tensor, dtype: torch.dtype, *, doubles: bool = False
) -> Tensor:
    if value.dtype == dtype or (doubles and value.dtype in (torch.float32, torch.float64)):
        return value
    found = value.to(dtype)
    if not value.is_floating_point() and not _is_true((found.to(value.dtype) == value).all()):
        raise DataError(
            f"{name} holds whole numbers that {dtype} rounds",
            hint="subtract a constant first, or model.double()",
        )
    return found


def _rows(name: str, value: Tensor, x: Tensor) -> Tensor:
    if value.ndim and value.shape[0] not in (1, len(x)):
        raise DataError(
            f"{name} has {value.shape[0]} rows, x has {len(x)}", hint="one row for each datum"
        )
    return value


def _mask(name: str, mask: Tensor, before: Tensor, x: Tensor) -> Tensor:
    if mask.shape == before.shape:
        mask = mask.reshape(x.shape)
    try:
        mask.expand(x.shape)
    except RuntimeError:
        raise DataError(
            f"{name} has shape {tuple(mask.shape)}, x has {tuple(before.shape)}",
            hint="true or false for every entry of x",
        ) from None
    return mask.bool()


def _check_values(model: Any, x: Tensor, masks: Mapping[str, Tensor]) -> None:
    known = reduce(or_, masks.values()).expand(x.shape) if masks else None
    head = model.data_head()
    finite = x.isfinite()
    bad = torch.zeros_like(finite) if head is None else outside(head.support, x, known)
    if known is not None and model.takes_missing:
        finite = finite | ~known
    if not _is_true(finite.all() & ~bad.any()):  # whose answer is waited for once
        _refuse_what_is_not_finite(model, x, finite)
        all_of_it = torch.ones_like(finite) if known is None else known
        raise DataError(
            told(head, [(x, all_of_it)], first_of(bad, x)),
            hint="scale or binarise x as the training data were, or choose another likelihood",
        )


def _refuse_what_is_not_finite(model: Any, x: Tensor, finite: Tensor) -> None:
    bad = ~finite
    if not bad.any():
        return
    nan = x[bad].isnan()
    word = "NaN" if nan.all() else "NaN or infinite" if nan.any() else "infinite"
    leave_out = "observed=~x.isnan() leaves NaN out of p(x|z)"
    raise DataError(
        f"{int(bad.sum())} {word} values in x (first: item {int(bad.nonzero()[0, 0])})",
        hint=leave_out if model.takes_missing else "remove or fill those items",
    )


def _is_true(condition: Tensor) -> bool:
    """Whether it holds; and where nobody knows, within torch.func.vmap and under fake tensors."""
    try:
        return bool(condition)
    except RuntimeError:
        return True

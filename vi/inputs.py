"""Conversion and validation of the data that a caller passes to a model.

Data are checked once, in the outermost call. Code inside it, and training and evaluation, which
check their data beforehand, run within ``as_it_is``.
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
    """Skip conversion and checks inside a ``with`` block or a decorated function.

    Use it around a loop that passes tensors of the model's type and device: nothing is converted,
    and no check of the support waits for the device.
    """
    token = _looked_at.set(True)
    try:
        yield
    finally:
        _looked_at.reset(token)


def admitting(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of (.., model, x, ..) accept any x that ``admitted`` accepts.

    Raises:
        DataError: ``admitted`` refuses x or another argument.
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
    """Return data as tensors that the model can read.

    Arrays and lists of numbers and bits become tensors on the model's device. Conversions without
    loss are made: whole numbers, bits and half precision to the precision of the model, doubles
    too if the model does not read doubles, and a flat datum to several axes or back.

    Args:
        model: A ``LatentVariableModel``.
        x: Data (B, *event).
        **others: Other arguments. ``context`` (B, C), ``exposure`` (B,), and the masks
            ``observed`` and ``held_out`` (B, *event), true where x is known, are converted as
            well; the rest is returned unchanged.

    Returns:
        x and the others, by name.

    Raises:
        DataError: x does not consist of numbers, has no rows, has another shape or device than the
            model, or a known entry is NaN, infinite or outside the support of the likelihood.
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
    """Return a parameter with the model's precision and device, or an empty tensor."""
    parameters = model.inference.own_parameters() or model.parameters()
    floating = (p for p in parameters if p.is_floating_point())
    return next(floating, torch.empty(0))


def _tensor(name: str, value: Any, device: torch.device) -> Tensor:
    """Return a value as a tensor of numbers on the device, or refuse it."""
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
        f"{name} must be a tensor of numbers, got {_kind(value)}",
        hint="give a tensor, an array or lists of numbers; vi.fit takes data sets",
    )


def _kind(value: Any) -> str:
    """Return the type of a value, for messages."""
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + ("" if dtype is None else f" of {dtype}")


def _shaped(x: Tensor, event: tuple[int, ...]) -> Tensor:
    """Return the same numbers as (B, *event), if their order is the same."""
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
    """Return whether one shape is flat, or the shapes differ only by axes of length 1."""
    if torch.Size(ours).numel() != torch.Size(theirs).numel():
        return False
    long = [[n for n in shape if n != 1] for shape in (ours, theirs)]
    return len(ours) == 1 or len(theirs) == 1 or long[0] == long[1]


def _in_precision(
    name: str, value: Tensor, dtype: torch.dtype, *, doubles: bool = False
) -> Tensor:
    """Return the value in this precision; refuse whole numbers that it would round."""
    if value.dtype == dtype or (doubles and value.dtype in (torch.float32, torch.float64)):
        return value
    found = value.to(dtype)
    if not value.is_floating_point() and not _is_true((found.to(value.dtype) == value).all()):
        raise DataError(
            f"{name} contains whole numbers that {dtype} rounds",
            hint="subtract a constant first, or model.double()",
        )
    return found


def _rows(name: str, value: Tensor, x: Tensor) -> Tensor:
    """Refuse a value whose number of rows is neither 1 nor that of x."""
    if value.ndim and value.shape[0] not in (1, len(x)):
        raise DataError(
            f"{name} has {value.shape[0]} rows, x has {len(x)}", hint="one row for each datum"
        )
    return value


def _mask(name: str, mask: Tensor, before: Tensor, x: Tensor) -> Tensor:
    """Return a mask as bool with the shape of x; refuse other shapes."""
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
    """Refuse known values that are not finite or are outside the support of the likelihood."""
    known = reduce(or_, masks.values()).expand(x.shape) if masks else None
    head = model.data_head()
    finite = x.isfinite()
    bad = torch.zeros_like(finite) if head is None else outside(head.support, x, known)
    if known is not None and model.takes_missing:
        finite = finite | ~known
    if not _is_true(finite.all() & ~bad.any()):  # waits for the device only once
        _refuse_what_is_not_finite(model, x, finite)
        all_of_it = torch.ones_like(finite) if known is None else known
        raise DataError(
            told(head, [(x, all_of_it)], first_of(bad, x)),
            hint="scale or binarise x as the training data were, or choose another likelihood",
        )


def _refuse_what_is_not_finite(model: Any, x: Tensor, finite: Tensor) -> None:
    """Raise the error for NaN and infinite values, if there are any."""
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
    """Return the condition; True if it has no value, as in torch.func.vmap and fake tensors."""
    try:
        return bool(condition)
    except RuntimeError:
        return True

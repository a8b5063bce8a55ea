"""How often a model was asked: the fair axis of a comparison."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

COUNTED = {"likelihood": "decoder", "posterior": "encoder", "parameters_of": "encoder"}
"""What the rows of each method of a model, or of its inference, went through."""


@dataclass
class Evaluations:
    """Rows that went through the encoder, and rows that went through the decoder.

    One datum with K draws is one row of the encoder and K rows of the decoder; for an exact model
    the posterior of a datum is a row of the encoder.
    """

    encoder: int = 0
    decoder: int = 0


@dataclass
class _Account:
    evaluations: Evaluations
    calls: dict[str, int] = field(default_factory=lambda: {"encoder": 0, "decoder": 0})


_current: ContextVar[_Account | None] = ContextVar("account of evaluations", default=None)


@contextmanager
def tallied(evaluations: Evaluations) -> Iterator[None]:
    """Within this block every row that a model computes is added up.

    Not what is asked of a model in evaluation mode: to look on costs a training nothing.
    """
    token = _current.set(_Account(evaluations))
    try:
        yield
    finally:
        _current.reset(token)


def tallying(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a model or of its inference, adding its rows to the account that is open.

    What another method has counted on the way is not counted twice. A datum costs as many rows of
    the encoder as its inference passes it through networks.
    """
    kind = COUNTED[name]

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        account = _current.get()
        if account is None:
            return method(self, *args, **kwargs)
        before = account.calls[kind]
        result = method(self, *args, **kwargs)
        if account.calls[kind] == before:
            account.calls[kind] += 1
            model = args[0] if name == "parameters_of" else self
            passes = model.inference.passes if kind == "encoder" else 1
            rows = getattr(account.evaluations, kind) + model.training * passes * _rows(result)
            setattr(account.evaluations, kind, rows)
        return result

    return wrapper


def _rows(result: Tensor | Distribution) -> int:
    shape = result.batch_shape if isinstance(result, Distribution) else result.shape[:1]
    return shape.numel()

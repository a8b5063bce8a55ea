"""Counts of encoder and decoder evaluations: the fair axis of a comparison of methods."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from torch import Tensor
from torch.distributions import Distribution

P = ParamSpec("P")
R = TypeVar("R", bound=Tensor | Distribution)

COUNTED = {"likelihood": "decoder", "posterior": "encoder", "parameters_of": "encoder"}
"""The network that each counted method of a model or of its inference evaluates."""


@dataclass
class Evaluations:
    """Numbers of rows evaluated by the encoder and by the decoder.

    One datum with K draws counts as one row of the encoder and K rows of the decoder. For an exact
    model the posterior of a datum counts as a row of the encoder. A method that takes
    several gradients per batch evaluates more rows per epoch, so compare methods at equal rows.
    """

    encoder: int = 0
    decoder: int = 0


@dataclass
class _Account:
    """The counts, and how many calls were counted, by which nested calls are recognised."""

    evaluations: Evaluations
    calls: dict[str, int] = field(default_factory=lambda: {"encoder": 0, "decoder": 0})


_current: ContextVar[_Account | None] = ContextVar("account of evaluations", default=None)


@contextmanager
def tallied(evaluations: Evaluations) -> Iterator[None]:
    """Add the rows of every evaluation inside the ``with`` block to ``evaluations``.

    Rows in evaluation mode are not counted: monitoring is not a cost of training.

    Args:
        evaluations: The counts to increase.

    >>> import torch
    >>> from vi.bounds.elbo import ELBO
    >>> from vi.models.ppca import PPCA
    >>> evaluations = Evaluations()
    >>> with tallied(evaluations):
    ...     _ = ELBO(num_samples=5)(PPCA((4,), latent_dim=2), torch.zeros(3, 4))
    >>> evaluations
    Evaluations(encoder=3, decoder=15)
    """
    token = _current.set(_Account(evaluations))
    try:
        yield
    finally:
        _current.reset(token)


def tallying(name: str, method: Callable[P, R]) -> Callable[P, R]:
    """Wrap a method of a model or of its inference, so that its rows are counted.

    If a nested call has already counted the rows, they are not counted again. A datum counts as
    ``passes`` rows of the encoder, the number of times that its inference evaluates the networks.

    Args:
        name: The method's name, a key of ``COUNTED``.
        method: The method.
    """
    kind = COUNTED[name]

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        account = _current.get()
        if account is None:
            return method(*args, **kwargs)
        before = account.calls[kind]
        result = method(*args, **kwargs)
        if account.calls[kind] == before:
            account.calls[kind] += 1
            model: Any = args[1] if name == "parameters_of" else args[0]
            passes = model.inference.passes if kind == "encoder" else 1
            rows = getattr(account.evaluations, kind) + model.training * passes * _rows(result)
            setattr(account.evaluations, kind, rows)
        return result

    return wrapper


def _rows(result: Tensor | Distribution) -> int:
    """Return the number of rows of a result: its batch size, with the K draws for a likelihood."""
    shape = result.batch_shape if isinstance(result, Distribution) else result.shape[:1]
    return shape.numel()

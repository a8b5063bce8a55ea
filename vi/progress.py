"""How far a long computation has come, told to whoever watches."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class _Watch:
    """``reached`` of the whole, and where the step that is being taken ends."""

    tell: Callable[[float], None]
    reached: float = 0.0
    end: float = 1.0


_current: ContextVar[_Watch | None] = ContextVar("progress", default=None)


@contextmanager
def watching(tell: Callable[[float], None]) -> Iterator[None]:
    """Within this block ``tell`` hears of every step of a ``watched`` loop: 0 to 1, ascending."""
    token = _current.set(_Watch(tell))
    try:
        yield
    finally:
        _current.reset(token)


def watched(steps: Collection[T], share: float = 1.0) -> Iterator[T]:
    """Go through the steps of a loop; a loop within a step divides that step.

    Args:
        steps: Each takes about as long as the others.
        share: Of what is left of the step that this loop is part of; loops behind it divide what
            it leaves.

    >>> told: list[float] = []
    >>> with watching(told.append):
    ...     for _ in watched("ab"):
    ...         for _ in watched(range(2)):
    ...             pass
    >>> told
    [0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    """
    watch = _current.get()
    if watch is None:
        yield from steps
        return
    start, end = watch.reached, watch.end
    for number, step in enumerate(steps, 1):
        watch.end = start + (end - start) * share * number / len(steps)
        stop = watch.end
        yield step
        watch.reached = stop
        watch.tell(stop)
    watch.end = end

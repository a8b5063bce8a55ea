"""Progress of long computations, reported to whoever observes it."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class _Watch:
    """The progress ``reached``, and the progress ``end`` at the end of the present step."""

    tell: Callable[[float], None]
    reached: float = 0.0
    end: float = 1.0


_current: ContextVar[_Watch | None] = ContextVar("progress", default=None)


@contextmanager
def watching(tell: Callable[[float], None]) -> Iterator[None]:
    """Call ``tell`` after every step of a ``watched`` loop inside the ``with`` block.

    Args:
        tell: Receives the progress from 0 to 1, in ascending order.
    """
    token = _current.set(_Watch(tell))
    try:
        yield
    finally:
        _current.reset(token)


def watched(steps: Collection[T], share: float = 1.0) -> Iterator[T]:
    """Iterate over the steps of a loop; a loop within a step divides that step.

    Args:
        steps: Steps that take about the same time each.
        share: Part of the remaining progress of the enclosing step that belongs to this loop;
            later loops divide the rest.

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

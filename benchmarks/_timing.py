"""Timing several ways of doing the same in turns, and timing the steps of a trainer."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

_AT_LEAST = 0.03  # seconds that a turn lasts, so that the clock's own cost does not count
_WARM = 50  # steps: those of the first call of the trainer

Work = Callable[[], object]


def interleaved(*works: Work, turns: int = 9) -> list[float]:
    """Seconds per call of each, the median over turns."""
    calls = [_calls(work) for work in works]
    times = [[] for _ in works]
    for _ in range(turns):
        for work, number, taken in zip(works, calls, times, strict=True):
            taken.append(_seconds(work, number) / number)
    return [statistics.median(taken) for taken in times]


def _calls(work: Work) -> int:
    """So many that they last long enough; the first ones warm up."""
    number, seconds = 1, _seconds(work, 1)
    while seconds < _AT_LEAST:
        number *= 2
        seconds = _seconds(work, number)
    return number


def _seconds(work: Work, number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        work()
    return time.perf_counter() - start


class Steps:
    """Within this block the time of every optimiser step; then ``seconds``, their mean.

    Counts the optimiser that took most steps, and leaves out its first call where the steps are
    many, else its first two steps.
    """

    def __enter__(self) -> "Steps":
        self._ends: dict[Any, list[float]] = {}
        self._hook = register_optimizer_step_post_hook(self._stepped)
        return self

    def _stepped(self, optimizer: Any, *_: object) -> None:
        self._ends.setdefault(optimizer, []).append(time.perf_counter())

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    @property
    def seconds(self) -> float:
        """Of one step, with all that lies between two."""
        ends = max(self._ends.values(), key=len)
        ends = ends[_WARM - 1 if len(ends) >= 2 * _WARM else 1 :]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def table(title: str, head: str, rows: list[str], note: str = "") -> str:
    """In Markdown; ``head`` and ``rows`` have the bars between cells, not around them."""
    rule = "---|" * (head.count("|") + 1)
    lines = "\n".join(f"| {row} |" for row in rows)
    return f"## {title}\n\n{note}{note and chr(10) * 2}| {head} |\n|{rule}\n{lines}\n"

"""Timing several ways of doing the same in turns, and timing the steps of a trainer."""

import statistics
import time
from collections.abc import Callable

from torch.optim.optimizer import register_optimizer_step_post_hook

from vi.training.module import TrainingModule

_AT_LEAST = 0.03  # seconds that a turn lasts, so that the clock's own cost does not count
_WARM = 100  # steps

Work = Callable[[], object]


def interleaved(
    *works: Work, turns: int = 9, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds per call of each, the median over turns."""
    calls = [_calls(work) for work in works]
    times = [[] for _ in works]
    for _ in range(turns):
        for work, number, taken in zip(works, calls, times, strict=True):
            taken.append(_seconds(work, number, clock) / number)
    return [statistics.median(taken) for taken in times]


def _calls(work: Work) -> int:
    """So many that they last long enough; the first ones warm up."""
    number, seconds = 1, _seconds(work, 1)
    while seconds < _AT_LEAST:
        number *= 2
        seconds = _seconds(work, number)
    return number


def _seconds(work: Work, number: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in range(number):
        work()
    return clock() - start


class Steps:
    """Within this block the time of every optimiser step of torch; then ``seconds``, their mean.

    Leaves out the first hundred steps where there are many, else the first one: of the first call
    of the trainer, and those in which it gets ready.
    """

    def __enter__(self) -> "Steps":
        self._ends: list[tuple[int, float]] = []
        self._hook = register_optimizer_step_post_hook(lambda *_: self._reached(1))
        return self

    def _reached(self, more: int) -> None:
        before = self._ends[-1][0] if self._ends else 0
        self._ends.append((before + more, time.perf_counter()))

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    @property
    def seconds(self) -> float:
        """Of one step, with all that lies between two."""
        last, end = self._ends[-1]
        ready = _WARM if last >= 2 * _WARM else 1
        first, start = next(reached for reached in self._ends if reached[0] >= ready)
        return (end - start) / (last - first)


class StepsOfVi(Steps):
    """The same for ``vi.fit``, call by call of its trainer: a replayed step tells no hook."""

    def __enter__(self) -> "StepsOfVi":
        self._ends = []
        self._count = count = TrainingModule._count

        def counting(module: TrainingModule, steps: int) -> None:
            count(module, steps)
            self._reached(steps)

        TrainingModule._count = counting
        return self

    def __exit__(self, *_: object) -> None:
        TrainingModule._count = self._count


def table(title: str, head: str, rows: list[str], note: str = "") -> str:
    """In Markdown; ``head`` and ``rows`` have the bars between cells, not around them."""
    rule = "---|" * (head.count("|") + 1)
    lines = "\n".join(f"| {row} |" for row in rows)
    return f"## {title}\n\n{note}{note and chr(10) * 2}| {head} |\n|{rule}\n{lines}\n"

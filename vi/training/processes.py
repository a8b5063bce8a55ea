"""One run in several processes, each of which takes its share of every batch."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import lightning.pytorch as pl
import torch
from jaxtyping import Integer
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.strategies.launchers import subprocess_script
from torch import Tensor, distributed

from vi.bounds.base import Bound
from vi.errors import ConfigurationError, NumericsError
from vi.evaluation.columns import Columns
from vi.models.base import LatentVariableModel
from vi.schemes.base import Scheme
from vi.training.settings import TrainerSettings

T = TypeVar("T")

_LOOK = 0.2  # seconds between looks at the other processes
_GRACE = 5.0  # seconds in which a process ends by itself of what all of them saw
_OF_MEMORY = "hint: the memory may have run out: lower trainer.batch_size or trainer.devices"


class Share(NamedTuple):
    """The data of a batch that one process takes, and the weight of their mean among the means."""

    index: Integer[Tensor, " B"]
    weight: float

    def counting(self, columns: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The rows of what was computed for these data, if they weigh anything."""
        return columns if self.weight else {name: rows[:0] for name, rows in columns.items()}


@dataclass(frozen=True)
class Processes:
    """All processes of a run, seen by one of them.

    ``each``, ``gathered`` and ``total`` are meetings: all processes have to come.

    Args:
        rank: Which one this is.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def key(self) -> tuple[int, ...]:
        """What belongs into the seed of noise that has to differ between processes."""
        return (self.rank,) if self.world > 1 else ()

    def share(self, index: Integer[Tensor, " N"]) -> Share:
        """Every world-th datum of a batch, from the rank on.

        The mean of weight times mean, over the processes, is the mean over the batch. Where
        nothing is left for a process it takes the first datum, which then weighs nothing:
        the others wait for its gradient.

        >>> [tuple(Processes(rank, 2).share(torch.arange(5))) for rank in (0, 1)]
        [(tensor([0, 2, 4]), 1.2), (tensor([1, 3]), 0.8)]
        >>> Processes(rank=1, world=2).share(torch.tensor([7]))
        Share(index=tensor([7]), weight=0.0)
        """
        if self.world == 1:
            return Share(index, 1.0)
        mine = index[self.rank :: self.world]
        return Share(mine if len(mine) else index[:1], len(mine) * self.world / len(index))

    def gathered(self, means: Columns) -> Columns:
        """The same batches, whole again."""
        if self.world == 1:
            return means
        columns = {
            name: [rows.cpu() for rows in batches] for name, batches in means.columns.items()
        }
        everywhere = self.each(columns)
        whole = Columns()
        for name in columns:
            batches = zip(*(one[name] for one in everywhere), strict=True)
            whole.columns[name] = [torch.cat(shares) for shares in batches]
        return whole

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The sum over the processes of each number."""
        everywhere = self.each(dict(numbers))
        return {name: sum(one[name] for one in everywhere) for name in numbers}

    def each(self, ours: T) -> list[T]:
        """What every process has, by rank."""
        if self.world == 1:
            return [ours]
        everywhere: list[Any] = [None] * self.world
        distributed.all_gather_object(everywhere, ours)
        return everywhere


def is_first(devices: int) -> bool:
    """Whether this process is the one that writes files and speaks; known before they meet."""
    return devices == 1 or rank_zero_only.rank == 0


@contextmanager
def speaking_alone(devices: int) -> Iterator[None]:
    """Within this block a run on one device writes its curves, whatever its launcher numbered it.

    Lightning takes the number of one of several independent runs for a rank, and would keep the
    loggers of all but one of them silent.
    """
    before = rank_zero_only.rank
    rank_zero_only.rank = 0 if devices == 1 else before
    try:
        yield
    finally:
        rank_zero_only.rank = before


def check_processes(settings: TrainerSettings, scheme: Scheme) -> None:
    """Refuse what several processes would not compute as one does.

    Raises:
        ConfigurationError: Another scheme than joint, a budget of evaluations, or no script that
            the other processes could run.
    """
    if settings.devices == 1:
        return
    several = f"trainer.devices={settings.devices}"
    if not scheme.averages_gradients:
        raise ConfigurationError(
            f"{several} is for scheme=joint, and this one is {type(scheme).__name__}",
            hint="trainer.devices=1 or scheme=joint",
        )
    if settings.max_evaluations is not None:
        raise ConfigurationError(
            f"trainer.max_evaluations is counted in one process, and {several}",
            hint="trainer.devices=1, or trainer.max_steps instead",
        )
    if not hasattr(sys.modules["__main__"], "__file__"):
        raise ConfigurationError(
            f"{several} runs the script once for each device, and here there is no script",
            hint="python -m vi train trainer.devices=2, or a script of your own that calls vi.fit",
        )


def check_gradients(model: LatentVariableModel, bound: Bound) -> None:
    """Refuse parameters that a step has left without a gradient: the processes wait for it.

    Raises:
        ConfigurationError: There is one.
    """
    named = [*model.named_parameters(), *bound.named_parameters()]
    idle = [name for name, p in named if p.requires_grad and p.grad is None]
    if idle:
        raise ConfigurationError(
            f"several devices need a gradient of every parameter, and none reaches {idle[0]}",
            hint="trainer.devices=1, or freeze it: parameter.requires_grad_(False)",
        )


@contextmanager
def ending_together(trainer: pl.Trainer) -> Iterator[None]:
    """Within this block no process of a run outlives another that met an error.

    An error in the first one ends those it started; but a number that is not finite is seen by
    all, and each ends by itself. An error in another one ends the first with the same exit code:
    it may be waiting where no exception reaches it.
    """
    over = threading.Event()
    try:
        with _watched_by(lambda started: _Watch(started, over).start()):
            yield
    except BaseException as error:
        started = getattr(trainer.strategy.launcher, "procs", [])
        if isinstance(error, RuntimeError):  # what a lost connection to another one looks like
            _end_with_who_failed(started)
        over.set()
        for process in started if not isinstance(error, NumericsError) else ():
            process.kill()
        raise
    finally:
        over.set()


@contextmanager
def _watched_by(watch: Callable[[list[subprocess.Popen]], None]) -> Iterator[None]:
    """Within this block Lightning gives the processes that it starts to a watch of ours."""
    module: Any = subprocess_script  # which has its own in a private name
    before = module._launch_process_observer
    module._launch_process_observer = watch
    try:
        yield
    finally:
        module._launch_process_observer = before


class _Watch(threading.Thread):
    """Looks after the processes that a trainer has started, in place of Lightning's own watch.

    That one kills this process without a word, and its exit code with it.

    Args:
        started: The other processes.
        over: Set when nobody needs to look any more.
    """

    def __init__(self, started: list[subprocess.Popen], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.started = started
        self.over = over

    def run(self) -> None:
        """Look several times a second."""
        while not self.over.wait(_LOOK):
            failed = [process for process in self.started if process.poll()]
            if failed and not self.over.wait(_GRACE):
                _end_as(failed[0], self.started)


def _end_with_who_failed(started: list[subprocess.Popen]) -> None:
    """If one of the others has an error, or has one soon, it is the error of the run."""
    until = time.monotonic() + _GRACE
    while started and time.monotonic() < until:
        for process in started:
            if process.poll():
                _end_as(process, started)
        time.sleep(_LOOK)


def _end_as(failed: subprocess.Popen, started: list[subprocess.Popen]) -> None:
    """End all processes, this one with the code of the one that failed, which has said why."""
    for process in started:
        process.kill()
    code = failed.returncode
    if code < 0:  # by a signal, so that it could say nothing
        rank, name = started.index(failed) + 1, signal.Signals(-code).name
        sys.stderr.write(f"error: process {rank} was ended by {name}\n{_OF_MEMORY}\n")
        code = 128 - code
    sys.stderr.flush()
    os._exit(code)

"""Runs in several processes, each of which computes a share of every batch."""

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

_LOOK = 0.2  # seconds between checks of the other processes
_GRACE = 5.0  # seconds within which a process ends by itself after an error that all see
_OF_MEMORY = "hint: the memory may have run out: lower trainer.batch_size or trainer.devices"


class Share(NamedTuple):
    """The data of a batch that one process computes, and the weight of their mean.

    Args:
        index: Indices of the data, (B,).
        weight: Factor of the mean over these data, so that the mean over the processes is the mean
            over the batch.
    """

    index: Integer[Tensor, " B"]
    weight: float

    def counting(self, columns: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the rows computed for these data, or no rows if their weight is 0."""
        return columns if self.weight else {name: rows[:0] for name, rows in columns.items()}


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as seen by one of them.

    ``each``, ``gathered`` and ``total`` are collective: every process must call them.

    Args:
        rank: Number of this process.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def key(self) -> tuple[int, ...]:
        """Additional part of the seed of noise that must differ between processes."""
        return (self.rank,) if self.world > 1 else ()

    def share(self, index: Integer[Tensor, " N"]) -> Share:
        """Return every world-th datum of a batch, beginning with the rank.

        The mean over the processes of weight times mean is the mean over the batch. A process
        without data takes the first datum with weight 0, since the others wait for its gradient.

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
        """Return the columns of the whole batches, joined from all processes."""
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
        """Return the sum of each number over the processes."""
        everywhere = self.each(dict(numbers))
        return {name: sum(one[name] for one in everywhere) for name in numbers}

    def each(self, ours: T) -> list[T]:
        """Return the value of every process, by rank."""
        if self.world == 1:
            return [ours]
        everywhere: list[Any] = [None] * self.world
        distributed.all_gather_object(everywhere, ours)
        return everywhere


def is_first(devices: int) -> bool:
    """Return whether this process writes files and prints; valid before the processes connect."""
    return devices == 1 or rank_zero_only.rank == 0


@contextmanager
def speaking_alone(devices: int) -> Iterator[None]:
    """Let a run on one device write its curves, whatever rank its launcher gave it.

    Lightning takes the number of one of several independent runs for a rank, and would disable the
    loggers of all but one of them.
    """
    before = rank_zero_only.rank
    rank_zero_only.rank = 0 if devices == 1 else before
    try:
        yield
    finally:
        rank_zero_only.rank = before


def check_processes(settings: TrainerSettings, scheme: Scheme) -> None:
    """Refuse settings under which several processes would not compute the same as one.

    Raises:
        ConfigurationError: The scheme is not joint, evaluations are limited, or there is no script
            that the other processes could run.
    """
    if settings.devices == 1:
        return
    several = f"trainer.devices={settings.devices}"
    if not scheme.averages_gradients:
        raise ConfigurationError(
            f"{several} requires scheme=joint, but the scheme is {type(scheme).__name__}",
            hint="trainer.devices=1 or scheme=joint",
        )
    if settings.max_evaluations is not None:
        raise ConfigurationError(
            f"trainer.max_evaluations is counted in one process, but {several}",
            hint="trainer.devices=1, or trainer.max_steps instead",
        )
    if not hasattr(sys.modules["__main__"], "__file__"):
        raise ConfigurationError(
            f"{several} runs the script once for each device, but there is no script here",
            hint="python -m vi train trainer.devices=2, or a script of your own that calls vi.fit",
        )


def check_gradients(model: LatentVariableModel, bound: Bound) -> None:
    """Refuse parameters that a step leaves without a gradient: the processes would wait for it.

    Raises:
        ConfigurationError: A parameter has no gradient.
    """
    named = [*model.named_parameters(), *bound.named_parameters()]
    idle = [name for name, p in named if p.requires_grad and p.grad is None]
    if idle:
        raise ConfigurationError(
            f"several devices need a gradient of every parameter; {idle[0]} has none",
            hint="trainer.devices=1, or freeze it: parameter.requires_grad_(False)",
        )


@contextmanager
def ending_together(trainer: pl.Trainer) -> Iterator[None]:
    """End all processes of a run inside the ``with`` block if one of them meets an error.

    An error in the first process ends those it has started. An exception is a number that is not
    finite: all processes see it, and each ends by itself. An error in another process ends the
    first one with the same exit code, since it may be waiting where no exception reaches it.
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
    """Replace Lightning's observer of the processes that it starts by ``watch``."""
    module: Any = subprocess_script  # its observer has a private name
    before = module._launch_process_observer
    module._launch_process_observer = watch
    try:
        yield
    finally:
        module._launch_process_observer = before


class _Watch(threading.Thread):
    """Observer of the processes that a trainer has started, in place of Lightning's own.

    Lightning's kills this process without a message and without the exit code of the failed one.

    Args:
        started: The other processes.
        over: Event that ends the observation.
    """

    def __init__(self, started: list[subprocess.Popen], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.started = started
        self.over = over

    def run(self) -> None:
        """Check the processes several times a second."""
        while not self.over.wait(_LOOK):
            failed = [process for process in self.started if process.poll()]
            if failed and not self.over.wait(_GRACE):
                _end_as(failed[0], self.started)


def _end_with_who_failed(started: list[subprocess.Popen]) -> None:
    """End with the error of another process, if one has failed or fails soon."""
    until = time.monotonic() + _GRACE
    while started and time.monotonic() < until:
        for process in started:
            if process.poll():
                _end_as(process, started)
        time.sleep(_LOOK)


def _end_as(failed: subprocess.Popen, started: list[subprocess.Popen]) -> None:
    """End all processes, this one with the exit code of the one that failed."""
    for process in started:
        process.kill()
    code = failed.returncode
    if code < 0:  # ended by a signal, so it could not print an error
        rank, name = started.index(failed) + 1, signal.Signals(-code).name
        sys.stderr.write(f"error: process {rank} was ended by {name}\n{_OF_MEMORY}\n")
        code = 128 - code
    sys.stderr.flush()
    os._exit(code)

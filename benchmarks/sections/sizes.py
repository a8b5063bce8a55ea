"""Training at other sizes: ``vi.fit`` against the same model in plain Lightning."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from _timing import Steps, StepsOfVi, interleaved, table
from sections import _plain, _vi
from torch import Tensor

import vi

_LATENT = 40
_SECONDS, _FEWEST, _MOST = 1.2, 12, 300  # of a run: what it should last, and steps
_BAR = 0.97
_NOTE = """Optimiser steps per second and their ratio, medians of interleaved runs in one process.
Timed from step to step inside the one epoch of a run, without its first call (of few steps:
without the first two): neither side's start, validation and saving count, and all that happens
between steps does, which is the batch and its fresh bits, the trainer, and logging every 50 steps.
No progress bar. Plain Lightning: own layers, DataLoader, `self.log`, default Adam."""


@dataclass(frozen=True)
class Size:
    """One model on one kind of data, made by vi and by hand."""

    name: str
    shape: tuple[int, ...]
    batch_size: int
    ours: Callable[[], vi.VAE]
    plain: Callable[[], _plain.Plain]


def section(*, quick: bool) -> str:
    """A table."""
    rows = [_row(size, repeats=1 if quick else 5) for size in _sizes(quick=quick)]
    return table("Training at other sizes", "size | vi | Lightning | ratio | steps", rows, _NOTE)


def _sizes(*, quick: bool) -> list[Size]:
    batches = [32, 128] if quick else [32, 64, 128, 256, 512, 1024, 2048]
    widths = [128] if quick else [128, 250, 1000, 2000]
    sides = [28] if quick else [28, 64]
    return [
        *(_perceptrons(500, batch_size) for batch_size in batches),
        *(_perceptrons(width, 128) for width in widths),
        *(_convolutions(side) for side in sides),
    ]


def _perceptrons(width: int, batch_size: int) -> Size:
    ours, plain = (partial(m.perceptrons, 784, width, _LATENT) for m in (_vi, _plain))
    return Size(
        f"784-{width}-{width}-{_LATENT}, batch {batch_size}", (784,), batch_size, ours, plain
    )


def _convolutions(side: int) -> Size:
    ours, plain = (partial(m.convolutions, side, _LATENT) for m in (_vi, _plain))
    return Size(f"convolutions, {side}x{side}, batch 128", (1, side, side), 128, ours, plain)


def _row(size: Size, repeats: int) -> str:
    steps = _steps(size)
    grey = _vi.pictures(steps * size.batch_size, *size.shape)
    ours, plain = [], []
    for _ in range(repeats):
        ours.append(_speed(StepsOfVi(), lambda: _vi.fit(size.ours(), grey, size.batch_size)))
        plain.append(
            _speed(Steps(), lambda: _plain.fit_plain(size.plain(), grey, size.batch_size))
        )
    a, b = statistics.median(ours), statistics.median(plain)
    ratio = f"{a / b:.2f}" if a / b >= _BAR else f"**{a / b:.2f}**"
    return f"{size.name} | {a:.1f} | {b:.1f} | {ratio} | {steps}"


def _speed(steps: Steps, fit: Callable[[], None]) -> float:
    with steps:
        fit()
    return 1 / steps.seconds


def _steps(size: Size) -> int:
    """So many that a run is neither long nor over at once; in whole calls of the trainer."""
    plain, x = size.plain(), torch.rand(size.batch_size, *size.shape).round()
    (seconds,) = interleaved(lambda: _gradient(plain, x), turns=3)
    steps = max(_FEWEST, min(_MOST, int(_SECONDS / seconds)))
    return steps if steps < 100 else steps // 50 * 50


def _gradient(plain: _plain.Plain, x: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(plain.loss(x), list(plain.parameters()))

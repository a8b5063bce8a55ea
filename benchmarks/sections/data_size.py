"""Time per epoch against the number of data."""

import math
import statistics
import time
from itertools import pairwise

import lightning.pytorch as pl
from _timing import table
from sections import _vi

_DIM, _EPOCHS = 64, 4


def section(*, quick: bool) -> str:
    """A table, with the slope between neighbours on doubly logarithmic axes."""
    sizes = [1_000, 3_000, 10_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    times = [_seconds_per_epoch(n) for n in sizes]
    slopes = ["-"] + [
        f"{math.log(b[1] / a[1]) / math.log(b[0] / a[0]):.2f}"
        for a, b in pairwise(zip(sizes, times, strict=True))
    ]
    rows = [
        f"{n} | {t:.3f} | {1e6 * t / n:.2f} | {slope}"
        for n, t, slope in zip(sizes, times, slopes, strict=True)
    ]
    note = f"""A VAE 64-128-128-8 on N pictures of 8x8 bytes, batch 128; from one start of an epoch
to the next, with its checkpoint, the median of {_EPOCHS - 1}. The slope of log time against log N
from the row above."""
    return table("Time against the number of data", "N | s | µs per datum | slope", rows, note)


def _seconds_per_epoch(n: int) -> float:
    starts = EpochStarts()
    model = _vi.perceptrons(_DIM, 128, 8)
    _vi.fit(model, _vi.pictures(n, _DIM), 128, epochs=_EPOCHS, callbacks=[starts])
    return statistics.median(b - a for a, b in pairwise(starts.times))


class EpochStarts(pl.Callback):
    """Remembers when epochs began."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        """Told by the trainer."""
        self.times.append(time.perf_counter())

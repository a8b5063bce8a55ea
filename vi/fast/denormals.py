"""Flush-to-zero mode: the processor replaces denormal numbers by 0."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SOFT = 1  # omp_pause_soft: ends the threads, keeps the settings
_TINY = 1e-39  # denormal in single precision


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Replace numbers below 1.2e-38 (double precision: 2.2e-308) by 0 inside the ``with`` block.

    Adam's moments fall below this limit after 830 steps without a gradient, as for a dead unit,
    and remain denormal for ever. Intel's processors need a hundred times as long for an operation
    with such a number. Does nothing on processors without the mode.
    """
    before = _is_flushed()
    _flush(flushed=True)
    try:
        yield
    finally:
        _flush(flushed=before)


def _flush(*, flushed: bool) -> None:
    """Set the mode in all threads.

    The mode is a setting of each thread, inherited from the thread that starts it. Therefore the
    worker threads of OpenMP are ended, and start again with the new mode.
    """
    if _is_flushed() == flushed or not torch.set_flush_denormal(flushed):
        return
    library = ctypes.CDLL(None) if os.name == "posix" else None
    end_threads = getattr(library, "omp_pause_resource_all", None)
    if end_threads is not None:
        end_threads(_SOFT)


def _is_flushed() -> bool:
    """Whether the mode is on, determined by a computation with a denormal number."""
    half = torch.tensor([_TINY], dtype=torch.float32) * 0.5
    return half.view(torch.int32).item() == 0

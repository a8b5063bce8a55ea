"""Whether numbers below the smallest normal one are computed with, or taken for 0."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SOFT = 1  # omp_pause_soft: threads end, settings stay
_TINY = 1e-39  # denormal in single precision


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Within this block the processor takes numbers below 1.2e-38 (double: 2.2e-308) for 0.

    The moments of Adam get there after 830 steps without a gradient, as those of a dead unit do,
    and stay there for ever. Intel's processors take a hundred times as long for such a number.
    Does nothing where the processor cannot do it.
    """
    before = _is_flushed()
    _flush(flushed=True)
    try:
        yield
    finally:
        _flush(flushed=before)


def _flush(*, flushed: bool) -> None:
    """Each thread has a setting of its own, and takes it from the thread that starts it."""
    if _is_flushed() == flushed or not torch.set_flush_denormal(flushed):
        return
    library = ctypes.CDLL(None) if os.name == "posix" else None
    end_threads = getattr(library, "omp_pause_resource_all", None)
    if end_threads is not None:
        end_threads(_SOFT)


def _is_flushed() -> bool:
    half = torch.tensor([_TINY], dtype=torch.float32) * 0.5
    return half.view(torch.int32).item() == 0

"""Memory of freed tensors: kept by the C library for reuse, or returned to the system."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2  # parameters of mallopt(3)
_KEPT = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20}
# glibc adapts its thresholds and cannot report them. These are the values that they reach once
# large blocks have been freed.
_OWN = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory inside the ``with`` block, and return it afterwards."""
    kept = keep_freed_memory()
    try:
        yield
    finally:
        if kept:
            _set(_OWN)
            ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks for the next step, which allocates the same sizes again.

    By default glibc returns large blocks to the kernel, which clears every page when it is used
    again: up to a thousand page faults per step. Does nothing with other C libraries.

    Returns:
        Whether the setting was accepted.
    """
    return _set(_KEPT)


def _set(values: dict[int, int]) -> bool:
    """Set parameters of ``mallopt``; return whether all were accepted."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(key, value) for key, value in values.items()])

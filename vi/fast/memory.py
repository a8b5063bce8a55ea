"""Whether the C library keeps the memory that tensors leave, or gives it back at once."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2  # parameters of mallopt(3)
_KEPT = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20}
# Where glibc's own thresholds, which move, come to rest once large blocks have been freed; what
# stands there before cannot be asked for.
_OWN = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within this block freed memory is kept; then it is given back. See ``keep_freed_memory``."""
    kept = keep_freed_memory()
    try:
        yield
    finally:
        if kept:
            _set(_OWN)
            ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next step, in which the same sizes are asked for again.

    Its default hands large blocks back to the kernel, which clears every page anew: up to a
    thousand page faults a step. Does nothing where there is no glibc.

    Returns:
        Whether it holds.
    """
    return _set(_KEPT)


def _set(values: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(key, value) for key, value in values.items()])

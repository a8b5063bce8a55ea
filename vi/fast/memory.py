"""Whether the C library keeps the memory that tensors leave, or gives it back at once."""

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2  # parameters of mallopt(3)


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next step, in which the same sizes are asked for again.

    Its default hands large blocks back to the kernel, which clears every page anew: up to a
    thousand page faults a step. It holds for the process and cannot be taken back. Does nothing
    where there is no glibc.

    Returns:
        Whether it holds.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20}
    return mallopt is not None and all([mallopt(key, value) for key, value in settings.items()])

"""The memory available to this process, checked before a large allocation."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from vi.errors import DataError

_LITTLE = 1 << 26  # number of bytes below which the system is not queried
_CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def available() -> int:
    """Return the number of bytes that this process may still allocate."""
    return min(_limits(), default=sys.maxsize)


def fits(size: int) -> bool:
    """Whether this number of bytes can be allocated.

    >>> fits(1000), fits(2**80)
    (True, False)
    """
    return size <= _LITTLE or size <= available()


def require_memory(what: str, size: int, *, hint: str) -> None:
    """Refuse an allocation that does not fit into memory, before it is made.

    Args:
        what: What is to be stored; the message begins with it.
        size: Number of bytes.
        hint: What to do about it.

    Raises:
        DataError: Less than ``size`` bytes are available.
    """
    if not fits(size):
        free = f"{gigabytes(available())} of memory are free"
        raise DataError(f"{what} would take {gigabytes(size)}, and {free}", hint=hint)


def gigabytes(size: int) -> str:
    """Return a number of bytes as text.

    >>> gigabytes(3 * 2**30), gigabytes(2**20)
    ('3 GiB', '1 MiB')
    """
    return f"{size / 2**30:.3g} GiB" if size >= 2**29 else f"{size / 2**20:.3g} MiB"


def _limits() -> Iterator[int]:
    """Yield the free memory, the memory of the machine, and the limits of control groups."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        yield 1024 * int(free.split()[1])
    with contextlib.suppress(AttributeError, OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # the text "max" means no limit
            yield int(path.read_text(encoding="ascii"))

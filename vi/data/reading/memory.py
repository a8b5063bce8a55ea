"""How much memory there is, asked before much of it is taken."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from vi.errors import DataError

_LITTLE = 1 << 26  # bytes that nobody need be asked for
_CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def available() -> int:
    """Bytes that this process may still take, as far as the system says."""
    return min(_limits(), default=sys.maxsize)


def fits(size: int) -> bool:
    """Whether so many bytes can be taken.

    >>> fits(1000), fits(2**80)
    (True, False)
    """
    return size <= _LITTLE or size <= available()


def require_memory(what: str, size: int, *, hint: str) -> None:
    """Refuse what memory does not hold, before it is taken.

    Args:
        what: What is to be held; the message begins with it.
        size: In bytes.
        hint: What to do about it.

    Raises:
        DataError: There is less memory than ``size``.
    """
    if not fits(size):
        free = f"{gigabytes(available())} of memory are free"
        raise DataError(f"{what} would take {gigabytes(size)}, and {free}", hint=hint)


def gigabytes(size: int) -> str:
    """A number of bytes as one reads it.

    >>> gigabytes(3 * 2**30), gigabytes(2**20)
    ('3 GiB', '1 MiB')
    """
    return f"{size / 2**30:.3g} GiB" if size >= 2**29 else f"{size / 2**20:.3g} MiB"


def _limits() -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        yield 1024 * int(free.split()[1])
    with contextlib.suppress(AttributeError, OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
            yield int(path.read_text(encoding="ascii"))

"""Read regular files whole: no pipes or devices, and no files that do not fit into memory."""

import errno
import os
import stat
from pathlib import Path

from vi.data.reading.memory import available, fits, gigabytes

_KINDS = {
    stat.S_IFIFO: "it is a named pipe",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFDIR: "is a directory",
}


def read_regular(path: Path) -> bytes:
    """Return all bytes of a regular file.

    Reading a pipe or a device may wait or continue for ever, so these are refused before a byte is
    read.

    Raises:
        OSError: There is no such file, it is not a regular file, it cannot be read, or it does not
            fit into memory; ``strerror`` states the reason.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "it is no regular file")
            raise OSError(errno.EINVAL, kind, str(path))
        if not fits(status.st_size):
            free = gigabytes(available())
            told = f"it has {gigabytes(status.st_size)}, and {free} of memory are free"
            raise OSError(errno.EFBIG, told, str(path))
        return file.read(status.st_size)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting for a writer, as opening a pipe otherwise would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

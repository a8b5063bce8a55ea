"""A file under its final name is whole, whatever happens while it is written."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from vi.errors import RunDirectoryError

_LEFT_OVER = re.compile(r"\..+\.\d+\.tmp")


def write_atomically(
    path: Path, content: bytes | memoryview | Callable[[Path], object], *, durable: bool = True
) -> None:
    """Write beside the target, flush to the disk, then rename over it.

    Args:
        path: The final name.
        content: The bytes, or a function that writes them to the path it is given.
        durable: Wait for the disk, so that the file outlives the end of the machine and not only
            that of the process.

    Raises:
        RunDirectoryError: The disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        if durable:
            _flush(temporary)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # some file systems flush no folder
            if durable:
                _flush(path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def append(path: Path, content: bytes) -> None:
    """Write at the end of a file, which is made if it is missing.

    Raises:
        RunDirectoryError: The disk is full or the folder cannot be written.
    """
    if not content:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> RunDirectoryError:
    told = f"cannot write {path}: {error.strerror or error}"
    return RunDirectoryError(told, hint="free space, or choose a folder")


def remove_left_over(*folders: Path) -> None:
    """Take away what a process that was killed had not yet given its final name.

    Only for who alone writes there.
    """
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            if _LEFT_OVER.fullmatch(path.name) and path.is_file():
                with contextlib.suppress(OSError):
                    path.unlink()


def require_room(folder: Path, size: int) -> None:
    """Refuse a folder that cannot be made, or where a file of so many bytes cannot be written.

    Raises:
        RunDirectoryError: It is one.
    """
    probe = folder / f".room.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            _reserve(file.fileno(), max(size, 1))
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write checkpoints to {folder}: {error.strerror or error}",
            hint="make room or rights there, or choose another hydra.run.dir",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.write(descriptor, bytes(size))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

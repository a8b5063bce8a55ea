"""Atomic writing: a file under its final name is always complete."""

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
    """Write a file beside the target, flush it to disk, then rename it to the target.

    Readers see the old file or the new one, never a part, even if the process is killed.

    Args:
        path: The final name.
        content: The bytes, or a function that writes them to a given path.
        durable: Whether to wait for the disk, so that the file also survives a crash of the
            machine.

    Raises:
        RunDirectoryError: The disk is full or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "a.json", b"{}")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.json']
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
    """Append bytes to a file, which is created if missing.

    In contrast to ``write_atomically``, only a part of the bytes may be written if the process is
    killed.

    Args:
        path: The file.
        content: The bytes; nothing is done if there are none.

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
    """Return the error for a file that cannot be written."""
    told = f"cannot write {path}: {error.strerror or error}"
    return RunDirectoryError(told, hint="free space, or choose another folder")


def remove_left_over(*folders: Path) -> None:
    """Delete temporary files that a killed process left behind.

    Call this only from the process that alone writes there.
    """
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            if _LEFT_OVER.fullmatch(path.name) and path.is_file():
                with contextlib.suppress(OSError):
                    path.unlink()


def require_room(folder: Path, size: int) -> None:
    """Refuse a folder in which a file of this size cannot be written.

    Args:
        folder: Created if missing.
        size: Number of bytes.

    Raises:
        RunDirectoryError: The folder cannot be created, or the disk is too full.
    """
    probe = folder / f".room.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            _reserve(file.fileno(), max(size, 1))
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write checkpoints to {folder}: {error.strerror or error}",
            hint="free space or change its permissions, or choose another hydra.run.dir",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the bytes on disk; a sparse file would not show that the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.write(descriptor, bytes(size))


def _flush(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

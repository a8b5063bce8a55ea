"""A file under its final name is whole, whatever happens while it is written."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from vi.errors import RunDirectoryError


def write_atomically(path: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write beside the target, flush to the disk, then rename over it.

    Args:
        path: The final name.
        content: The bytes, or a function that writes them to the path it is given.

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
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {path}: {error.strerror or error}",
            hint="free space, or choose a folder",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()

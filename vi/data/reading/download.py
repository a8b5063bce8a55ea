"""Downloads by torchvision, with a hint if there is no network."""

import contextlib
import io
import socket
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from vi.errors import DataError

_TIMEOUT = 10.0  # seconds without an answer; without it torchvision would wait for ever


def download(title: str, root: Path, fetch: Callable[[], object], *, files: str) -> None:
    """Let torchvision download a data set into the data folder.

    Args:
        title: The name of the data set.
        root: The data folder.
        fetch: Makes the torchvision data set with ``download=True``.
        files: The files to place by hand and their folder, for the hint.

    Raises:
        DataError: There is no network, or the folder cannot be written.
    """
    before = _folders(root)
    try:
        with _timeout(), contextlib.redirect_stdout(io.StringIO()):
            fetch()
    except (OSError, RuntimeError, EOFError, HTTPException, zipfile.BadZipFile) as error:
        for folder in sorted(_folders(root) - before, reverse=True):  # deepest folders first
            with contextlib.suppress(OSError):  # not empty: a file was downloaded
                folder.rmdir()
        raise DataError(
            f"{title} not found in {root}",
            hint=f"offline? use data=digits, or put {files}, or set VI_DATA_DIR",
        ) from error


def _folders(root: Path) -> set[Path]:
    """Return a folder and all folders in it."""
    return {root, *(p for p in root.rglob("*") if p.is_dir())} if root.exists() else set()


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """Set a time limit for answers from the network inside the ``with`` block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

"""Downloads that torchvision knows how to make, and what to say when there is no network."""

import contextlib
import io
import socket
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from vi.errors import DataError

_TIMEOUT = 10.0  # seconds without an answer; torchvision itself would wait for ever


def download(title: str, root: Path, fetch: Callable[[], object], *, files: str) -> None:
    """Let torchvision fetch a data set into the data folder.

    Args:
        title: The data set's name.
        root: The data folder.
        fetch: Makes the torchvision data set with ``download=True``.
        files: What to put where by hand, for the hint.

    Raises:
        DataError: There is no network, or the folder cannot be written.
    """
    before = _folders(root)
    try:
        with _timeout(), contextlib.redirect_stdout(io.StringIO()):
            fetch()
    except (OSError, RuntimeError, EOFError, HTTPException, zipfile.BadZipFile) as error:
        for folder in sorted(_folders(root) - before, reverse=True):  # the deepest first
            with contextlib.suppress(OSError):  # not empty: something did arrive
                folder.rmdir()
        raise DataError(
            f"{title} not found in {root}",
            hint=f"offline? use data=digits, or put {files}, or set VI_DATA_DIR",
        ) from error


def _folders(root: Path) -> set[Path]:
    return {root, *(p for p in root.rglob("*") if p.is_dir())} if root.exists() else set()


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

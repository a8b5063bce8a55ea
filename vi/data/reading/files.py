"""Data files: found, read whole, decompressed, and checked against a known sha256."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vi.data.reading.checksum import checksum
from vi.data.reading.regular import read_regular
from vi.data.reading.unpacking import GZIP_MAGIC, gunzip
from vi.errors import DataError


@dataclass(frozen=True)
class KnownFile:
    """A published file.

    Args:
        name: Path in the data folder, with the name of the decompressed file.
        sha256: Checksum of the decompressed file.
        sha256_gz: Checksum of the .gz file, if it is published as one.
    """

    name: str
    sha256: str
    sha256_gz: str | None = None

    @property
    def published(self) -> str:
        """Name and sha256, for messages about a file that must be found by hand."""
        zipped = " or its .gz" if self.sha256_gz else ""
        return f"{Path(self.name).name} (sha256 {self.sha256}){zipped}"


@dataclass(frozen=True)
class Contents:
    """The content of a file: its bytes (decompressed), its path, and the sha256 of the file."""

    data: bytes
    path: Path
    sha256: str


def data_dir(dir: str | None) -> Path:
    """Return the data folder: ``dir``, else the environment variable VI_DATA_DIR, else ``data``.

    >>> data_dir("my/data").name
    'data'
    """
    return user_path(dir or os.environ.get("VI_DATA_DIR") or "data")


def locate(root: Path, known: KnownFile) -> Path | None:
    """Return the path of a known file, decompressed or .gz; None if neither exists."""
    plain = root / known.name
    candidates = (plain, plain.with_name(plain.name + ".gz"))
    # unlike Path.exists, os.path.exists raises no error if the name is too long
    return next((path for path in candidates if os.path.exists(path)), None)


def all_there(root: Path, files: Sequence[KnownFile]) -> bool:
    """Whether all of these files are in the data folder."""
    return all(locate(root, known) is not None for known in files)


def user_path(path: str | Path) -> Path:
    """Return the path of a user's own file or folder, with ``~`` expanded.

    Raises:
        DataError: It begins with the home of an unknown user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"cannot find {path}: no such user", hint="give the full path") from error


def read(path: Path) -> Contents:
    """Read a user's own file, and decompress a .gz.

    Raises:
        DataError: There is no such file, it is not a regular file (but a folder, a named pipe,
            ...), or it cannot be read or decompressed.
    """
    raw = _read_bytes(path)
    return Contents(_unzip(path, raw), path, hashlib.sha256(raw).hexdigest())


def read_known(title: str, root: Path, known: KnownFile) -> Contents:
    """Read a published file and verify its checksum.

    A .gz that another program compressed is accepted if its content is the published one.

    Args:
        title: The name of the data set, for messages.
        root: The data folder.
        known: The file.

    Raises:
        DataError: The file is missing, or its sha256 is not the published one.
    """
    path = locate(root, known)
    if path is None:
        raise not_found(title, root, [known])
    raw = _read_bytes(path)
    digest = checksum(path, raw)
    if digest not in (known.sha256, known.sha256_gz) and not _zips(path, raw, known):
        expected = known.sha256_gz if path.suffix == ".gz" else known.sha256
        raise DataError(
            f"{path} is damaged: its sha256 is {digest}, expected {expected}",
            hint=f"delete it and put a good copy of {known.published} in {path.parent}",
        )
    return Contents(_unzip(path, raw), path, digest)


def not_found(title: str, root: Path, files: Sequence[KnownFile]) -> DataError:
    """Return the error for a data set whose files must be placed by hand."""
    names = ", ".join(known.published for known in files)
    folder = root / Path(files[0].name).parent
    return DataError(
        f"{title} not found in {root}",
        hint=f"put {names} in {folder}, or set VI_DATA_DIR or data.dir to where it is",
    )


def file_facts(files: Sequence[Contents]) -> dict[str, Any]:
    """Return the sha256 of the main file (the first) and of all others, as facts."""
    main, *others = files
    facts = {"data/file": main.path.name, "data/sha256": main.sha256}
    return facts | {f"data/sha256/{other.path.name}": other.sha256 for other in others}


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return read_regular(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"cannot read {path}: {reason[0].lower()}{reason[1:]}", hint="give an existing file"
        ) from error


def _unzip(path: Path, raw: bytes) -> bytes:
    """Return the content of a .gz, and other bytes unchanged."""
    return gunzip(path, raw) if raw.startswith(GZIP_MAGIC) else raw


def _zips(path: Path, raw: bytes, known: KnownFile) -> bool:
    """Whether a .gz contains the published file."""
    if not raw.startswith(GZIP_MAGIC):
        return False
    try:
        return hashlib.sha256(_unzip(path, raw)).hexdigest() == known.sha256
    except DataError:
        return False

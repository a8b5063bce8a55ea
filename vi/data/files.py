"""Data files: where they are, read whole, unzipped, and checked against a known sha256."""

import gzip
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vi.data.checksum import checksum
from vi.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class KnownFile:
    """A published file.

    Args:
        name: Path below the data folder, as it is called unzipped.
        sha256: Of the file, unzipped.
        sha256_gz: Of the .gz file, where it is published as one.
    """

    name: str
    sha256: str
    sha256_gz: str | None = None

    @property
    def published(self) -> str:
        """What to tell somebody who has to find the file: its name and sha256."""
        zipped = " or its .gz" if self.sha256_gz else ""
        return f"{Path(self.name).name} (sha256 {self.sha256}){zipped}"


@dataclass(frozen=True)
class Contents:
    """What a file holds: its bytes (unzipped), where they came from, and the file's sha256."""

    data: bytes
    path: Path
    sha256: str


def data_dir(dir: str | None) -> Path:
    """The data folder: ``dir``, else the environment's VI_DATA_DIR, else ``data``.

    >>> data_dir("my/data").name
    'data'
    """
    return Path(dir or os.environ.get("VI_DATA_DIR") or "data").expanduser()


def locate(root: Path, known: KnownFile) -> Path | None:
    """The path of a known file, unzipped or .gz; None where neither is there."""
    plain = root / known.name
    candidates = (plain, plain.with_name(plain.name + ".gz"))
    return next((path for path in candidates if path.exists()), None)


def all_there(root: Path, files: Sequence[KnownFile]) -> bool:
    """Whether every one of these files is in the data folder."""
    return all(locate(root, known) is not None for known in files)


def read(path: Path) -> Contents:
    """Read a user's own file, unzipped where it is a .gz.

    Raises:
        DataError: There is no such file, it is a folder, or it cannot be read or unzipped.
    """
    raw = _read_bytes(path)
    return Contents(_unzip(path, raw), path, hashlib.sha256(raw).hexdigest())


def read_known(title: str, root: Path, known: KnownFile) -> Contents:
    """Read a published file and verify it.

    A .gz that was zipped by somebody else is accepted when its content is the published one.

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
    """The error for a data set that has to be put in place by hand."""
    names = ", ".join(known.published for known in files)
    folder = root / Path(files[0].name).parent
    return DataError(
        f"{title} not found in {root}",
        hint=f"put {names} in {folder}, or set VI_DATA_DIR or data.dir to where it is",
    )


def read_npz(contents: Contents) -> dict[str, np.ndarray]:
    """All arrays of an .npz file; a single .npy array is called ``x``. Never unpickles.

    Raises:
        DataError: The file is truncated, is no .npz, or holds Python objects.
    """
    try:
        loaded: Any = np.load(io.BytesIO(contents.data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        return {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{contents.path} is not a readable .npz file of plain arrays: {_one_line(error)}",
            hint="write it anew with numpy.savez(path, x=array); arrays of objects are refused",
        ) from error


def file_facts(files: Sequence[Contents]) -> dict[str, Any]:
    """The sha256 of the main file (the first) and of every other one."""
    main, *others = files
    facts = {"data/file": main.path.name, "data/sha256": main.sha256}
    return facts | {f"data/sha256/{other.path.name}": other.sha256 for other in others}


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DataError(f"cannot read {path}: {reason}", hint="give an existing file") from error


def _unzip(path: Path, raw: bytes) -> bytes:
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be unzipped: {_one_line(error)}",
            hint="the file is truncated or damaged; put a good copy in its place",
        ) from error


def _zips(path: Path, raw: bytes, known: KnownFile) -> bool:
    if not raw.startswith(_GZIP_MAGIC):
        return False
    try:
        return hashlib.sha256(_unzip(path, raw)).hexdigest() == known.sha256
    except DataError:
        return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

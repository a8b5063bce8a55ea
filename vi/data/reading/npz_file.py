"""Arrays in .npy and .npz files, whose headers are checked against the size of the file first."""

import io
import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from vi.data.reading.files import Contents
from vi.data.reading.foreign import foreign, shortened
from vi.data.reading.formats import refuse_other
from vi.data.reading.unpacking import DEFLATE_RATIO, require_bounded

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # bytes of the header's length, by version of the format
_LONGEST_HEADER = 10_000
_BLOCK = 1 << 20
_ENTRIES = (
    re.compile(r"'descr'\s*:\s*'([^']*)'"),
    re.compile(r"'fortran_order'\s*:\s*(True|False)"),
    re.compile(r"'shape'\s*:\s*\(([\d,\sL]*)\)"),
)
_PLAIN = re.compile(r"[<>|=]?[?bBhilqiufcSUmM]\d*(\[\w+\])?")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # flag of an encrypted member
_END, _END_BYTES = b"PK\5\6", 22  # end of the directory, with its number of members
_BY_ZIP64 = 0xFFFF  # stands for a number that a further record contains


def read_npz(contents: Contents) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz file by name; a single .npy array is named ``x``.

    Objects are never unpickled, and nothing is allocated before it is certain that the file
    contains as many bytes as its headers state.

    Raises:
        DataError: The file is truncated or damaged, is not an .npz, contains Python objects, or
            unpacks to more than its size can explain.
    """
    hint = "save it again with numpy.savez(path, x=array); arrays of objects are refused"
    if not contents.data.startswith((_NPY, _ZIP)):
        refuse_other(contents, (_NPY, _ZIP))
    with foreign(contents.path, "a readable .npz file of plain arrays", hint=hint):
        if contents.data.startswith(_NPY):
            return {"x": _read_array(io.BytesIO(contents.data), len(contents.data))}
        if contents.data.startswith(_ZIP):
            return _read_members(contents)
        raise ValueError(f"it begins with {contents.data[:4].hex(' ') or 'nothing'}")


def _read_members(contents: Contents) -> dict[str, np.ndarray]:
    """Check the directory of an archive, then read all its arrays."""
    with zipfile.ZipFile(io.BytesIO(contents.data)) as archive:
        members = archive.infolist()
        _check_end(contents.data, len(members))
        _check_members(contents.path, len(contents.data), members)
        return {m.filename.removesuffix(".npy"): _read_member(archive, m) for m in members}


def _check_end(data: bytes, found: int) -> None:
    """Refuse a directory with fewer members than it counts; zipfile does not check that."""
    end = data[-_END_BYTES:]
    if not end.startswith(_END):
        raise ValueError("its directory is not the end of the file")
    counted = int.from_bytes(end[10:12], "little")
    if counted not in (found, _BY_ZIP64):
        raise ValueError(f"its directory counts {counted} members and names {found}")


def _check_members(path: Path, length: int, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse members with equal names, and members that together are too large."""
    for member in members:
        _check_member(member, length)
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise ValueError("two of its members have the same name")
    require_bounded(path, length, sum(member.file_size for member in members))


def _check_member(member: zipfile.ZipInfo, length: int) -> None:
    """Refuse a member that is not an array, is encrypted, or unpacks to too much."""
    name = repr(shortened(member.filename, 60))
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{name} in it is not an array (.npy)")
    if member.flag_bits & _ENCRYPTED:
        raise ValueError(f"{name} in it is encrypted")
    if member.compress_type not in _METHODS:
        raise ValueError(f"{name} in it is compressed by method {member.compress_type}")
    ratio = 1 if member.compress_type == zipfile.ZIP_STORED else DEFLATE_RATIO
    if member.compress_size > length or member.file_size > ratio * member.compress_size:
        raise ValueError(
            f"{name} in it states {member.file_size} bytes from {member.compress_size}, and the "
            f"file has {length}"
        )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read the array of one member."""
    with archive.open(member) as stream:
        assert isinstance(stream, io.BufferedIOBase)
        return _read_array(stream, member.file_size)


class _Header(NamedTuple):
    """The header of a .npy file: type, shape and order of the array."""

    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]

    @property
    def size(self) -> int:
        """Number of bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def _read_array(stream: io.BufferedIOBase, length: int) -> np.ndarray:
    """Read the array of a .npy file of this length in bytes."""
    header = _header(stream)
    if header.size != length - stream.tell():
        raise ValueError(
            f"its header states {header.size} bytes ({_times(header)}), and "
            f"{length - stream.tell()} follow"
        )
    flat = np.empty(math.prod(header.shape), header.dtype)
    _fill(flat.view(np.uint8), stream)
    if header.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise ValueError("it holds truth values other than 0 and 1")
    return flat.reshape(header.shape, order=header.order)


def _header(stream: io.BufferedIOBase) -> _Header:
    """Read the header of a .npy file (NEP 1) without evaluating it as Python."""
    magic = stream.read(8)
    num_bytes = _LENGTH_BYTES.get(magic[6]) if len(magic) == 8 else None
    if not magic.startswith(_NPY) or num_bytes is None:
        raise ValueError(f"an array in it begins with {magic.hex(' ') or 'nothing'}")
    length = int.from_bytes(stream.read(num_bytes), "little")
    text = stream.read(min(length, _LONGEST_HEADER)).decode("latin1")
    found = [entry.findall(text) for entry in _ENTRIES]
    if len(text) != length or any(len(values) != 1 for values in found):
        raise ValueError(f"this is not the header of a plain array: {shortened(text, 60)!r}")
    (descr,), (fortran,), (shape,) = found
    sizes = tuple(int(size.rstrip("L")) for size in shape.replace(" ", "").split(",") if size)
    return _Header(_dtype(descr), sizes, "F" if fortran == "True" else "C")


def _dtype(descr: str) -> np.dtype:
    """Return the type of an array; refuse objects and structured types."""
    if descr.lstrip("|") == "O":
        raise ValueError("it holds Python objects, which are never unpickled")
    dtype = np.dtype(descr) if _PLAIN.fullmatch(descr) else None
    if dtype is None or not dtype.itemsize:
        raise ValueError(f"an array in it has the type {shortened(descr, 60)!r}")
    return dtype


def _times(header: _Header) -> str:
    """Return shape and type as text."""
    return f"{' x '.join(map(str, header.shape)) or 'one'} of {header.dtype}"


def _fill(array: np.ndarray, stream: io.BufferedIOBase) -> None:
    """Fill an array with the bytes of a stream.

    The stream must end with them, because zipfile checks its checksum only at the end.
    """
    done = 0
    while block := stream.read(_BLOCK):
        array[done : done + len(block)] = np.frombuffer(block, np.uint8)
        done += len(block)
    if done != len(array):
        raise ValueError(f"it ends after {done} of {len(array)} bytes")

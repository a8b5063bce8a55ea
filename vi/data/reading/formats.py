"""File formats by their first bytes, so that a message can name the format of a wrong file."""

from collections.abc import Collection
from typing import NamedTuple, NoReturn

from vi.data.reading.files import Contents
from vi.errors import DataError


class _Format(NamedTuple):
    """A file format: the first bytes of its files, its name, and how to convert such a file."""

    magic: bytes
    name: str
    hint: str


_TABLE = "with pandas: frame.to_csv('table.csv', index=False), then data=csv data.path=table.csv"
_ARRAY = "numpy.savez('a.npz', x=array), then data=npz data.path=a.npz"
_PICTURES = "data=image_folder data.path=FOLDER reads a folder of pictures"
_PICKLED = f"it can run code; load it where you trust it; {_ARRAY}"
_UNPACK = "unpack it first; only .gz is unpacked here"

_HEAD = 1024  # first bytes, among which a binary file has a control character

_FORMATS = (
    _Format(b"PAR1", "a Parquet file", f"pandas.read_parquet reads it; {_TABLE}"),
    _Format(b"ARROW1", "an Arrow or Feather file", f"pandas.read_feather reads it; {_TABLE}"),
    _Format(b"\x89HDF\r\n\x1a\n", "an HDF5 file (h5ad, loom, mat)", f"save its array: {_ARRAY}"),
    _Format(b"MATLAB 5.0", "a MATLAB file", f"scipy.io.loadmat reads it; {_ARRAY}"),
    _Format(b"\x93NUMPY", "a .npy array", "data=npz reads it"),
    _Format(b"PK\x03\x04", "a zip archive", "data=npz reads an .npz; pandas.read_excel an .xlsx"),
    _Format(b"\xd0\xcf\x11\xe0", "an Excel file", f"pandas.read_excel reads it; {_TABLE}"),
    _Format(b"SQLite format 3\0", "an SQLite database", f"pandas.read_sql reads it; {_TABLE}"),
    _Format(b"\x89PNG", "a PNG picture", _PICTURES),
    _Format(b"\xff\xd8\xff", "a JPEG picture", _PICTURES),
    _Format(b"GIF8", "a GIF picture", "convert it to png"),
    _Format(b"%PDF", "a PDF document", "copy its numbers into a text table"),
    _Format(b"\x80\x04\x95", "a pickle", _PICKLED),
    _Format(b"\x80\x05\x95", "a pickle", _PICKLED),
    _Format(b"BZh", "a bzip2 file", _UNPACK),
    _Format(b"\xfd7zXZ", "an xz file", _UNPACK),
    _Format(b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
)


def refuse_other(contents: Contents, wanted: Collection[bytes] = ()) -> None:
    """Refuse a file of another known format, by name; files of unknown format pass.

    Args:
        contents: The file.
        wanted: First bytes of the accepted formats.

    Raises:
        DataError: The file begins like one of another format.
    """
    for known in _FORMATS:
        if _is(contents.data, known) and not known.magic.startswith(tuple(wanted)):
            _refuse(contents, known)


def _is(data: bytes, known: _Format) -> bool:
    """Whether a file has a format; a text table may have a column named PAR1."""
    if not data.startswith(known.magic):
        return False
    return not known.magic.isalnum() or any(byte < ord("\t") for byte in data[:_HEAD])


def _refuse(contents: Contents, known: _Format) -> NoReturn:
    raise DataError(f"{contents.path} is {known.name}", hint=known.hint)

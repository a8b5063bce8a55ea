"""How much a compressed file may become, and .gz files within that bound."""

import gzip
import io
from pathlib import Path

from vi.data.foreign import foreign
from vi.data.memory import gigabytes, require_memory
from vi.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # no byte of a DEFLATE stream becomes more (zlib's technical details)
MOST_RATIO = 250  # tables of counts that are nearly all 0 shrink to a hundredth
ALWAYS = 1 << 28  # bytes that any file may become
_BLOCK = 1 << 20


def most(packed: int) -> int:
    """How many bytes a compressed file of so many bytes may become.

    >>> most(1000) == ALWAYS, most(2**30) == MOST_RATIO * 2**30
    (True, True)
    """
    return max(ALWAYS, MOST_RATIO * packed)


def require_bounded(path: Path, packed: int, unpacked: int) -> None:
    """Refuse a file that unpacks to more than its size explains, or than memory holds.

    Args:
        path: The file.
        packed: Its size in bytes.
        unpacked: The bytes that it becomes, or says that it becomes.

    Raises:
        DataError: ``unpacked`` is beyond ``most(packed)``, or beyond the free memory.
    """
    if unpacked > most(packed):
        raise DataError(
            f"{path} has {gigabytes(packed)} and unpacks to {gigabytes(unpacked)}; at most "
            f"{gigabytes(most(packed))} are unpacked",
            hint="if you trust it, unpack it yourself, or save it without compression",
        )
    require_memory(f"{path}, unpacked,", unpacked, hint="give a part of it")


def gunzip(path: Path, raw: bytes) -> bytes:
    """What a .gz file holds.

    Raises:
        DataError: It is truncated or damaged, or becomes too much.
    """
    unpacked, source = io.BytesIO(), gzip.GzipFile(fileobj=io.BytesIO(raw))
    while block := _next(path, source):
        unpacked.write(block)
        require_bounded(path, len(raw), unpacked.tell())
    return unpacked.getvalue()


def _next(path: Path, source: gzip.GzipFile) -> bytes:
    hint = "the file is truncated or damaged; put a good copy in its place"
    with foreign(path, "a whole .gz file and cannot be unzipped", hint=hint):
        return source.read(_BLOCK)

"""Decompression within bounds: how large a file may become, and .gz files."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from vi.data.reading.foreign import foreign
from vi.data.reading.memory import gigabytes, require_memory
from vi.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # largest number of bytes from one of DEFLATE (zlib technical details)
MOST_RATIO = 250  # counts of 13 488 genes in worm neurons, as int64, unpack to 200 times the size
ALWAYS = 1 << 28  # bytes to which any file may unpack
_BLOCK = 1 << 20
_FREELY = 1 << 26  # bytes that are kept before the size is known


def most(packed: int) -> int:
    """Return the largest size in bytes to which a compressed file of this size may unpack.

    >>> most(1000) == ALWAYS, most(2**30) == MOST_RATIO * 2**30
    (True, True)
    """
    return max(ALWAYS, MOST_RATIO * packed)


def require_bounded(path: Path, packed: int, unpacked: int) -> None:
    """Refuse a file that unpacks to more than its size can explain, or than fits into memory.

    Args:
        path: The file.
        packed: Its size in bytes.
        unpacked: Its unpacked size in bytes, actual or stated.

    Raises:
        DataError: ``unpacked`` exceeds ``most(packed)`` or the free memory.
    """
    if unpacked > most(packed):
        raise DataError(
            f"{path}: {gigabytes(packed)} unpacks to {gigabytes(unpacked)}; at most "
            f"{gigabytes(most(packed))} are unpacked",
            hint="if you trust it, unpack it yourself, or save it without compression",
        )
    require_memory(f"{path}, unpacked,", unpacked, hint="give a part of it")


def gunzip(path: Path, raw: bytes) -> bytes:
    """Return the content of a .gz file.

    If it unpacks to much more than its last bytes state, the size is measured before the content
    is kept.

    Raises:
        DataError: It is truncated or damaged, or unpacks to too much.
    """
    stated = int.from_bytes(raw[-4:], "little")
    freely = max(_FREELY, stated if stated <= most(len(raw)) else 0)
    content = _taken(path, raw, freely)
    if content is None:
        content = _taken(path, raw, sum(map(len, _blocks(path, raw))))
    assert content is not None
    return content


def _taken(path: Path, raw: bytes, most: int) -> bytes | None:
    """Return the content if it has at most this number of bytes, else None."""
    content = io.BytesIO()
    for block in _blocks(path, raw):
        if content.tell() + len(block) > most:
            return None
        content.write(block)
    return content.getvalue()


def _blocks(path: Path, raw: bytes) -> Iterator[bytes]:
    """Yield the content in blocks, as long as the bytes read so far can explain its size."""
    file, unpacked = io.BytesIO(raw), 0
    source = gzip.GzipFile(fileobj=file)
    while block := _next(path, source):
        unpacked += len(block)
        require_bounded(path, file.tell(), unpacked)
        yield block


def _next(path: Path, source: gzip.GzipFile) -> bytes:
    """Return the next block."""
    hint = "the file is truncated or damaged; replace it with a good copy"
    with foreign(path, "a complete .gz file and cannot be unzipped", hint=hint):
        return source.read(_BLOCK)

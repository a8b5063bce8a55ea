"""How much a compressed file may become, and .gz files within that bound."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from vi.data.reading.foreign import foreign
from vi.data.reading.memory import gigabytes, require_memory
from vi.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # no byte of a DEFLATE stream becomes more (zlib's technical details)
MOST_RATIO = 250  # counts of 13 488 genes in worm neurons, as int64, become 200 times as much
ALWAYS = 1 << 28  # bytes that any file may become
_BLOCK = 1 << 20
_FREELY = 1 << 26  # bytes that are taken before it is known how many there are


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
            f"{path}: {gigabytes(packed)} unpacks to {gigabytes(unpacked)}; at most "
            f"{gigabytes(most(packed))} are unpacked",
            hint="if you trust it, unpack it yourself, or save it without compression",
        )
    require_memory(f"{path}, unpacked,", unpacked, hint="give a part of it")


def gunzip(path: Path, raw: bytes) -> bytes:
    """What a .gz file holds.

    What becomes much more than its last bytes say is measured before it is taken.

    Raises:
        DataError: It is truncated or damaged, or becomes too much.
    """
    stated = int.from_bytes(raw[-4:], "little")
    freely = max(_FREELY, stated if stated <= most(len(raw)) else 0)
    content = _taken(path, raw, freely)
    if content is None:
        content = _taken(path, raw, sum(map(len, _blocks(path, raw))))
    assert content is not None
    return content


def _taken(path: Path, raw: bytes, most: int) -> bytes | None:
    """The content, if it has no more bytes than this."""
    content = io.BytesIO()
    for block in _blocks(path, raw):
        if content.tell() + len(block) > most:
            return None
        content.write(block)
    return content.getvalue()


def _blocks(path: Path, raw: bytes) -> Iterator[bytes]:
    """The content bit by bit, as long as what was read explains it."""
    file, unpacked = io.BytesIO(raw), 0
    source = gzip.GzipFile(fileobj=file)
    while block := _next(path, source):
        unpacked += len(block)
        require_bounded(path, file.tell(), unpacked)
        yield block


def _next(path: Path, source: gzip.GzipFile) -> bytes:
    hint = "the file is truncated or damaged; put a good copy in its place"
    with foreign(path, "a whole .gz file and cannot be unzipped", hint=hint):
        return source.read(_BLOCK)

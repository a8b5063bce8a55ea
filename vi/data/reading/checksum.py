"""The sha256 of a file, computed at first use and remembered for the user."""

import contextlib
import hashlib
from pathlib import Path

from vi.cache import cache_file, remember

_HEX_DIGITS = 64


def checksum(path: Path, content: bytes) -> str:
    """Return the sha256 of a file that has just been read.

    A marker in the user's cache folder, named after path, size and time of change, avoids
    computing it again. Nothing is written beside the data, which may be read-only.

    Args:
        path: The path of the file.
        content: All bytes of the file.

    >>> checksum(Path("nowhere"), b"abc")[:8]
    'ba7816bf'
    """
    with contextlib.suppress(OSError, RuntimeError, UnicodeError):
        remembered = _marker(path).read_text(encoding="ascii")
        if len(remembered) == _HEX_DIGITS:
            return remembered
    digest = hashlib.sha256(content).hexdigest()
    with contextlib.suppress(OSError, RuntimeError):  # a cache that cannot be written is harmless
        remember(_marker(path), digest)
    return digest


def combined(digests: dict[str, str]) -> str:
    """Return one sha256 of many named digests, in the order of their names.

    >>> combined({"a": "1", "b": "2"}) == combined({"b": "2", "a": "1"})
    True
    """
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _marker(path: Path) -> Path:
    """Return the path of the marker of a file."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    return cache_file("checksums", hashlib.sha256(key.encode()).hexdigest()[:32])

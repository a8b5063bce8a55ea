"""Small files in the user's cache folder, kept between runs."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

_MEASURED = "measured"
_WEEK = 7 * 24 * 3600.0


def cache_file(folder: str, name: str) -> Path:
    """Return the path of a cache file; ``XDG_CACHE_HOME`` moves it.

    Args:
        folder: Folder within the cache.
        name: Name of the file.

    Raises:
        RuntimeError: The user has no home directory.
    """
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "amortized-vi" / folder / name


def remember(file: Path, text: str) -> None:
    """Write a file atomically: another process reads all of it or nothing.

    Raises:
        OSError: The file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


class Measured:
    """Measurements of this machine by name, valid for a week.

    A cache that cannot be read or written does no harm; nothing is stored then.

    Args:
        machine: Everything that the measurements depend on, as the name of a file.
    """

    def __init__(self, machine: str) -> None:
        self.machine = machine

    def recall(self, name: str) -> Any:
        """Return the value kept under this name in the last seven days, or None."""
        entry = self._entries().get(name, {})
        return entry["value"] if _is_recent(entry) else None

    def keep(self, name: str, value: Any) -> None:
        """Keep a plain value for a week, and drop values that are older."""
        recent = {k: entry for k, entry in self._entries().items() if _is_recent(entry)}
        recent[name] = {"value": value, "at": time.time()}
        with contextlib.suppress(OSError, RuntimeError):
            remember(self._file(), json.dumps(recent, indent=0))

    def _entries(self) -> dict[str, Any]:
        """Return all entries of the file; none if it is missing or damaged."""
        with contextlib.suppress(OSError, RuntimeError, ValueError, RecursionError):
            entries = json.loads(self._file().read_text(encoding="utf-8"))
            return entries if isinstance(entries, dict) else {}
        return {}

    def _file(self) -> Path:
        return cache_file(_MEASURED, f"{self.machine}.json")


def _is_recent(entry: Any) -> bool:
    at = entry.get("at") if isinstance(entry, dict) and "value" in entry else None
    return isinstance(at, int | float) and 0 <= time.time() - at < _WEEK


def forget_measured() -> list[Path]:
    """Delete the measurements of this machine.

    Returns:
        The deleted files.

    Raises:
        OSError: A file cannot be deleted.
        RuntimeError: The user has no home directory.
    """
    files = sorted(cache_file(_MEASURED, "").glob("*.json"))
    for file in files:
        file.unlink(missing_ok=True)
    return files

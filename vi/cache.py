"""What is remembered for this user between runs: small files in the user's cache folder."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

_MEASURED = "measured"
_WEEK = 7 * 24 * 3600.0


def cache_file(folder: str, name: str) -> Path:
    """Where it lies; ``XDG_CACHE_HOME`` moves it.

    Raises:
        RuntimeError: The user has no home.
    """
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "amortized-vi" / folder / name


def remember(file: Path, text: str) -> None:
    """Write it whole: another process sees all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


class Measured:
    """What was measured of this machine, by name; after a week it has to be measured again.

    A cache that cannot be read or written is harmless: nothing is remembered then.

    Args:
        machine: Everything that the measurements depend on, as the name of a file.
    """

    def __init__(self, machine: str) -> None:
        self.machine = machine

    def recall(self, name: str) -> Any:
        """What was kept under this name in the last seven days, or None."""
        entry = self._entries().get(name, {})
        return entry["value"] if _is_recent(entry) else None

    def keep(self, name: str, value: Any) -> None:
        """Keep plain values for a week, and let go of what is older."""
        recent = {k: entry for k, entry in self._entries().items() if _is_recent(entry)}
        recent[name] = {"value": value, "at": time.time()}
        with contextlib.suppress(OSError, RuntimeError):
            remember(self._file(), json.dumps(recent, indent=0))

    def _entries(self) -> dict[str, Any]:
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
    """Delete what was measured of this machine.

    Returns:
        The files that are gone.

    Raises:
        OSError: One of them cannot be deleted.
        RuntimeError: The user has no home.
    """
    files = sorted(cache_file(_MEASURED, "").glob("*.json"))
    for file in files:
        file.unlink(missing_ok=True)
    return files

"""What is remembered for this user between runs: small files in the user's cache folder."""

import os
from pathlib import Path


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

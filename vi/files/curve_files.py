"""The curves of a run as CSV files, read without what writes them."""

import csv
from pathlib import Path


def curve_files(folder: Path) -> list[Path]:
    """``version_N/metrics.csv`` of all versions, the oldest first."""
    return sorted(folder.glob("version_*/metrics.csv"), key=lambda path: path.stat().st_mtime)


def read_curves(path: Path) -> list[dict[str, float]]:
    """The numbers of each row, by name."""
    return [{name: float(value) for name, value in row.items()} for row in read_rows(path)]


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file; not the last one, where its end is missing."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [{k: v for k, v in row.items() if k and v} for row in csv.DictReader(whole)]

"""Curves as a CSV file that stays complete if the process is killed."""

import csv
import io
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from vi.files.atomic import append, write_atomically
from vi.files.curve_files import curve_files, read_curves, read_rows

_ROWS = 100  # rows that are written together

Row = Mapping[str, Any]


class CSVCurves(Logger):
    """Write ``csv/version_N/metrics.csv``, with a row for all numbers that are logged together.

    A resumed run continues the present file.

    Args:
        save_dir: The run directory.
        name: Name of the folder in the run directory.
    """

    def __init__(self, save_dir: str | Path, name: str = "csv") -> None:
        super().__init__()
        self.folder = Path(save_dir) / name
        self._name = name
        self._version: int | None = None
        self.columns: list[str] = []
        self.rows: list[Row] = []
        self.goes_on = False  # whether the run continues earlier files

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self._name

    @property
    def version(self) -> int:
        """The number of the folder: a new one, unless the run is resumed."""
        if self._version is None:
            self._version = max(self._versions(), default=-1) + 1
        return self._version

    @property
    def save_dir(self) -> str:
        """The folder that contains the folders of all versions."""
        return str(self.folder)

    @property
    def path(self) -> Path:
        """The path of the CSV file."""
        return self.folder / f"version_{self.version}" / "metrics.csv"

    def _versions(self) -> list[int]:
        """Return the numbers of the existing folders."""
        numbers = [path.name.rpartition("_")[2] for path in self.folder.glob("version_*")]
        return [int(number) for number in numbers if number.isdecimal()]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row for this step; rows are written in groups of a hundred."""
        self.rows.append({**{k: float(v) for k, v in metrics.items()}, "step": step})
        if len(self.rows) >= _ROWS:
            self.save()

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing: hyperparameters are in TensorBoard's file and in the configuration."""

    @rank_zero_only
    def save(self) -> None:
        """Append the pending rows; if there is a new column, rewrite the whole file.

        Raises:
            RunDirectoryError: The disk is full or the folder cannot be written.
        """
        rows, self.rows = self.rows, []
        new = {name for row in rows for name in row} - set(self.columns)
        if new:
            before = read_rows(self.path)
            self.columns = sorted({*self.columns, *new})
            self._rewrite([*before, *rows])
        elif rows:
            append(self.path, _text(rows, self.columns, header=False))

    def curves(self) -> list[dict[str, float]]:
        """Return all rows of the run, including those before it was resumed."""
        self.save()
        parts = [path for path in curve_files(self.folder) if self.goes_on or path == self.path]
        return [row for path in parts for row in read_curves(path)]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the pending rows."""
        self.save()

    def rewind(self, step: int, *, is_open: bool) -> None:
        """Cut all files after this step, and continue the latest one."""
        versions = self._versions()
        self._version, self.goes_on = max(versions, default=0), True
        for version in versions:
            path = self.folder / f"version_{version}" / "metrics.csv"
            rows = read_rows(path)
            kept = [row for row in rows if _is_kept(row, step, is_open=is_open)]
            self.columns = sorted({name for row in kept for name in row})
            if path.is_file():
                write_atomically(path, _text(kept, self.columns, header=True), durable=False)
        if self.path.is_file():
            self.columns = sorted({name for row in read_rows(self.path) for name in row})

    def _rewrite(self, rows: Iterable[Row]) -> None:
        write_atomically(self.path, _text(rows, self.columns, header=True), durable=False)


def _is_kept(row: Row, step: int, *, is_open: bool) -> bool:
    """Return whether a row is at most of this step; ``is_open`` excludes its validation."""
    try:
        own = int(row["step"])
    except (KeyError, TypeError, ValueError):
        return False
    of_validation = any(name.startswith("val") and value for name, value in row.items())
    return own < step or own == step and not (is_open and of_validation)


def _text(rows: Iterable[Row], columns: list[str], *, header: bool) -> bytes:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()

"""Curves as a CSV file that is whole whenever the process is killed."""

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

_ROWS = 100  # that wait for each other

Row = Mapping[str, Any]


class CSVCurves(Logger):
    """``csv/version_N/metrics.csv``: one row for all numbers that were sent together.

    A resumed run goes on with the file that is there.

    Args:
        save_dir: The run directory.
        name: Of the folder within it.
    """

    def __init__(self, save_dir: str | Path, name: str = "csv") -> None:
        super().__init__()
        self.folder = Path(save_dir) / name
        self._name = name
        self._version: int | None = None
        self.columns: list[str] = []
        self.rows: list[Row] = []
        self.goes_on = False  # with all files that are there

    @property
    def name(self) -> str:
        """Of the folder."""
        return self._name

    @property
    def version(self) -> int:
        """The number of the folder: a new one, unless the run goes on."""
        if self._version is None:
            self._version = max(self._versions(), default=-1) + 1
        return self._version

    @property
    def save_dir(self) -> str:
        """Where the folders of all versions lie."""
        return str(self.folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"version_{self.version}" / "metrics.csv"

    def _versions(self) -> list[int]:
        numbers = [path.name.rpartition("_")[2] for path in self.folder.glob("version_*")]
        return [int(number) for number in numbers if number.isdecimal()]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep the numbers of this step; they are written with a hundred others."""
        self.rows.append({**{k: float(v) for k, v in metrics.items()}, "step": step})
        if len(self.rows) >= _ROWS:
            self.save()

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """They are in TensorBoard's file and in the configuration."""

    @rank_zero_only
    def save(self) -> None:
        """Append what has waited; a new column makes the file anew.

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
        """All rows of the run so far, with those that it goes on from."""
        self.save()
        parts = [path for path in curve_files(self.folder) if self.goes_on or path == self.path]
        return [row for path in parts for row in read_curves(path)]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what has waited."""
        self.save()

    def rewind(self, step: int, *, is_open: bool) -> None:
        """Go on with the latest file, as it was after this step."""
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
    try:
        own = int(row["step"])
    except (KeyError, TypeError, ValueError):
        return False
    of_validation = any(name.startswith("val") and value for name, value in row.items())
    return own < step or own == step and not (is_open and of_validation)


def _text(rows: Iterable[Row], columns: list[str], *, header: bool) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()

"""A text table: its header, its columns as text, and where each row stands in the file."""

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from vi.data.files import Contents
from vi.errors import DataError

_MISSING = ("", "na", "n/a", "null", "none", "?")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Args:
        path: The file.
        names: Of the columns; their numbers from 0 where the file has no header.
        cells: (rows, columns) of text, without blanks around it.
        lines: The line of the file that each row ends on, counted from 1.
    """

    path: Path
    names: list[str]
    cells: np.ndarray
    lines: np.ndarray

    def text(self, name: str) -> np.ndarray:
        """One column as text."""
        return self.cells[:, self.names.index(name)]

    def missing(self, name: str) -> Bool[np.ndarray, " N"]:
        """Where one column says nothing: empty, NA, null, none or ?."""
        return np.isin(np.char.lower(self.text(name)), _MISSING)

    def numbers(self, name: str) -> Float64[np.ndarray, " N"]:
        """One column as numbers, NaN where it says nothing.

        Raises:
            DataError: A cell is no number.
        """
        try:
            return self._parse(name)
        except ValueError as error:
            row = next(i for i, cell in enumerate(self.text(name)) if not self._legible(cell))
            where = f"{str(self.text(name)[row])!r} in line {self.lines[row]}"
            raise DataError(
                f"column {name!r} of {self.path} is not numeric: {where}",
                hint=f"choose data.columns=[{','.join(self.numeric())}]",
            ) from error

    def numeric(self) -> list[str]:
        """The names of the columns that hold numbers."""
        found = []
        for name in self.names:
            with contextlib.suppress(ValueError):
                self._parse(name)
                found.append(name)
        return found

    def _parse(self, name: str) -> np.ndarray:
        return np.where(self.missing(name), "nan", self.text(name)).astype(np.float64)

    def _legible(self, cell: str) -> bool:
        return cell.lower() in _MISSING or _is_number(cell)


def read_table(contents: Contents) -> Table:
    """Read a table whose cells are separated by commas, semicolons or tabs.

    The first line is a header where none of its cells is a number.

    Raises:
        DataError: The file is no text, is empty, has rows of unequal length or equal names.
    """
    rows, lines = _rows(contents)
    _require_equal_lengths(contents.path, rows, lines)
    header = not any(_is_number(cell) for cell in rows[0])
    names = rows[0] if header else []
    names = [names[i] if header and names[i] else str(i) for i in range(len(rows[0]))]
    _require_unique(contents.path, names)
    if len(rows) == header:
        raise DataError(f"{contents.path} has a header and no rows", hint="add data")
    return Table(contents.path, names, np.array(rows[header:]), np.array(lines[header:]))


def _rows(contents: Contents) -> tuple[list[list[str]], list[int]]:
    text = _text(contents)
    first = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [([cell.strip() for cell in row], reader.line_num) for row in reader]
    except csv.Error as error:
        raise _no_table(contents.path, str(error)) from error
    filled = [(row, line) for row, line in rows if any(row) or len(row) > 1]
    if not filled:
        raise DataError(f"{contents.path} is empty", hint="give a table with one item per row")
    return [row for row, _ in filled], [line for _, line in filled]


def _text(contents: Contents) -> str:
    try:
        text = contents.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_table(contents.path, "it is not UTF-8 text") from error
    if "\0" in text:
        raise _no_table(contents.path, "it holds zero bytes")
    return text


def _no_table(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not a text table: {reason}",
        hint="save it as UTF-8 text with cells separated by commas, or use data=npz",
    )


def _require_equal_lengths(
    path: Path, rows: Sequence[Sequence[str]], lines: Sequence[int]
) -> None:
    width = len(rows[0])
    odd = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if odd is not None:
        raise DataError(
            f"line {lines[odd]} of {path} has {len(rows[odd])} cells, the first has {width}",
            hint="every row needs one cell per column; a missing value is an empty cell",
        )


def _require_unique(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has more than one column called {twice[0]!r}", hint="rename the columns"
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

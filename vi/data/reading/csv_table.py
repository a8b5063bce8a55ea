"""Text tables: header, columns as text, and the line of each row in the file."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float64

from vi.data.reading.csv_cells import is_missing, is_number, missing
from vi.data.reading.csv_header import counting, names_in
from vi.data.reading.csv_hints import hint_for
from vi.data.reading.files import Contents
from vi.data.reading.foreign import shortened
from vi.data.reading.formats import refuse_other
from vi.errors import DataError

_DELIMITERS = b",;\t"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MOST_COLUMNS = 1_000_000
_FIRST_LINE = re.compile(rb"\s*([^\r\n]*)")
_QUOTED = re.compile(rb'"[^"]*"')


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Args:
        path: The file.
        names: Names of the columns; numbers from 0 if the file has no header.
        cells: (rows, columns) of text, without surrounding blanks.
        lines: The line of the file on which each row ends, counted from 1.
        index: Name of the first column, if it has no name in the file and numbers the rows.
    """

    path: Path
    names: list[str]
    cells: np.ndarray
    lines: np.ndarray
    index: str | None = None

    def text(self, name: str) -> np.ndarray:
        """Return one column as text."""
        return self.cells[:, self.names.index(name)]

    def missing(self, name: str) -> Bool[np.ndarray, " N"]:
        """Return where one column is missing: empty, NA, null, none or ?."""
        return missing(self.text(name))

    def numbers(self, name: str) -> Float64[np.ndarray, " N"]:
        """Return one column as numbers, NaN where it is missing.

        Raises:
            DataError: A cell is not a number or is infinite, or all cells are missing.
        """
        try:
            values = self._parse(name)
        except ValueError:
            self._refuse_text(name)
        if np.isinf(values).any():
            self._refuse_infinite(name, np.flatnonzero(np.isinf(values)))
        if np.isnan(values).all():
            raise DataError(
                f"column {name!r} of {self.path} has no value in any line",
                hint=f"choose data.columns=[{','.join(self.numeric())}]",
            )
        return values

    def numeric(self) -> list[str]:
        """Return the names of the columns that contain numbers."""
        found = []
        for name in self.names:
            with contextlib.suppress(ValueError):
                if not np.isnan(self._parse(name)).all():
                    found.append(name)
        return found

    def _parse(self, name: str) -> np.ndarray:
        """Convert one column to numbers; a ValueError if that is not possible."""
        cells = self.text(name)
        if any("_" in cell for cell in cells):
            raise ValueError("1_000 is a name")
        return np.where(missing(cells), "nan", cells).astype(np.float64)

    def _refuse_text(self, name: str) -> NoReturn:
        """Refuse a column with a cell that is not a number, with a hint by what it looks like."""
        cells = self.text(name)
        row = next(i for i, cell in enumerate(cells) if not (is_missing(cell) or is_number(cell)))
        hint = hint_for(list(cells), row, alone=len(self.names) == 1)
        if numeric := self.numeric():
            others = f"choose data.columns=[{','.join(numeric)}]"
            hint = f"{hint}; or {others}" if hint else others
        raise DataError(
            f"column {name!r} of {self.path} is not numeric: {self._cell(name, row)}",
            hint=hint or "a table of numbers is needed; replace the text with numbers",
        )

    def _refuse_infinite(self, name: str, rows: np.ndarray) -> NoReturn:
        """Refuse a column with infinite cells."""
        more = f", the first of {len(rows)} such cells" if len(rows) > 1 else ""
        raise DataError(
            f"column {name!r} of {self.path} is infinite: {self._cell(name, int(rows[0]))}{more}",
            hint="write a number, or leave the cell empty and choose data.missing=mask",
        )

    def _cell(self, name: str, row: int) -> str:
        """Return a cell and its line, for messages."""
        return f"{shortened(self.text(name)[row], 40)!r} in line {self.lines[row]}"


def read_table(contents: Contents) -> Table:
    """Read a table whose cells are separated by commas, semicolons or tabs.

    The first line is a header if none of its cells is a number.

    Raises:
        DataError: The file is not text, is empty, has rows of unequal length or equal names, or a
            header with numbers as names.
    """
    rows, lines = _rows(contents)
    names, header = names_in(contents.path, rows)
    if len(rows) == header:
        raise DataError(f"{contents.path} has a header and no rows", hint="add data")
    index = names[0] if header and len(names) > 1 and counting(rows) else None
    cells = np.array(rows[header:], dtype=object)
    return Table(contents.path, names, cells, np.array(lines[header:]), index)


def _rows(contents: Contents) -> tuple[list[list[str]], list[int]]:
    """Return the rows that are not blank, and the line on which each ends."""
    rows: list[list[str]] = []
    lines: list[int] = []
    for row, line in _parsed(contents):
        if rows and len(row) != len(rows[0]):
            _refuse_unequal(contents.path, rows, row, line)
        rows.append(row)
        lines.append(line)
    if not rows:
        raise DataError(f"{contents.path} is empty", hint="give a table with one item per row")
    return rows, lines


def _parsed(contents: Contents) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of each row that is not blank, and the line on which it ends."""
    refuse_other(contents)
    if contents.data.startswith(_UTF16):
        raise _no_table(contents.path, "it is UTF-16 text, not UTF-8")
    if b"\0" in contents.data:
        where = _at(contents.data.find(0), contents)
        raise _no_table(contents.path, f"it holds zero bytes{where}")
    text = io.TextIOWrapper(io.BytesIO(contents.data), encoding="utf-8-sig", newline="")
    delimiter = _delimiter(contents)
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if len(row) > 1 or any(row):
                yield row, reader.line_num
    except csv.Error as error:
        raise _no_table(contents.path, f"{error} (line {reader.line_num})") from error
    except UnicodeDecodeError as error:
        where = _at(_first_undecodable(contents.data), contents)
        raise _no_table(contents.path, f"it is not UTF-8 text{where}") from error


def _first_undecodable(data: bytes) -> int:
    """Return the position of the first byte that is not UTF-8.

    The error of a stream counts from the start of its last block, so it cannot be used.
    """
    try:
        return len(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return error.start


def _at(place: int, contents: Contents) -> str:
    """Return the line of a position in the file, for messages."""
    return f" (line {1 + contents.data.count(bytes([10]), 0, place)})"


def _delimiter(contents: Contents) -> str:
    """Return the delimiter that is most frequent in the first line, outside quotes."""
    line = _FIRST_LINE.match(contents.data)
    first = _QUOTED.sub(b"", line[1] if line else b"")
    delimiter = max(_DELIMITERS, key=lambda byte: first.count(bytes([byte])))
    if first.count(bytes([delimiter])) >= _MOST_COLUMNS:
        raise _no_table(contents.path, f"its first line has more than {_MOST_COLUMNS} cells")
    return chr(delimiter)


def _no_table(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not a text table: {reason}",
        hint="save it as UTF-8 text with cells separated by commas, or use data=npz",
    )


def _refuse_unequal(
    path: Path, rows: Sequence[Sequence[str]], row: Sequence[str], line: int
) -> NoReturn:
    width = len(rows[0])
    hint = "every row needs one cell per column; a missing value is an empty cell"
    if rows[0][0].startswith("#"):
        hint = "lines that begin with # are not skipped; delete them"
    elif len(rows) == 1 and len(row) == width + 1:
        hint = (
            "does the header lack a name, as R writes it, or are the decimals written with commas?"
        )
    raise DataError(
        f"line {line} of {path} has {len(row)} cells, the first has {width}", hint=hint
    )

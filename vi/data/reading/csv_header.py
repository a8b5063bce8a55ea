"""Decide whether the first line of a text table contains names of columns or data."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vi.data.reading.csv_cells import are_numbers, is_missing, is_number, is_whole
from vi.errors import DataError

_UNNAMED = "Unnamed: "  # begins the names that pandas gives to columns without one
_YEARS = range(1900, 2101)


def names_in(path: Path, rows: Sequence[Sequence[str]]) -> tuple[list[str], bool]:
    """Return the names of the columns, and whether the first row contains them.

    It does if none of its cells is a number. A column without a name is named by its number.

    Args:
        path: The file, for messages.
        rows: All rows of the file.

    Raises:
        DataError: Two names are equal, or the first row looks like a header with numbers as names,
            which cannot be distinguished from data.
    """
    first = rows[0]
    header = not any(map(is_number, first))
    if not header:
        _refuse_numbers_as_names(path, rows)
    names = [cell if header and cell else str(i) for i, cell in enumerate(first)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has more than one column called {twice[0]!r}", hint="rename the columns"
        )
    return names, header


def counting(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column has no name and numbers the rows, like the index of a data frame.

    >>> counting([["", "a"], ["0", "9.1"], ["1", "9.1"]]), counting([["", "a"], ["5", "1"]])
    (True, False)
    """
    name, *cells = [row[0] for row in rows]
    if (name and not name.startswith(_UNNAMED)) or len(cells) < 2 or not all(map(is_whole, cells)):
        return False
    numbers = list(map(int, cells))
    return min(numbers) >= 0 and len(set(numbers)) == len(numbers)


def _refuse_numbers_as_names(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Refuse a first row that looks like a header with numbers as names; warn if it may be one."""
    columns = list(zip(*rows, strict=True))
    if _some_are_names(columns) or _all_are_numbers_unlike_the_rest(columns, rows):
        raise DataError(
            f"the first line of {path} looks like a header whose names are numbers: {_told(rows)}",
            hint="name the columns with words (y2019, not 2019); if that line is data, put a line "
            "of names before it",
        )
    if _is_sequence(rows[0]) and (len(rows[0]) > 2 or int(rows[0][0]) in _YEARS):
        warnings.warn(
            f"the first line of {path} ({_told(rows)}) is read as data, because it holds numbers; "
            "name the columns with words if it is a header",
            stacklevel=5,
        )


def _told(rows: Sequence[Sequence[str]]) -> str:
    """Return the first cells of the first row, for messages."""
    shown = ",".join(rows[0][:5])
    return shown + (",..." if len(rows[0]) > 5 else "")


def _some_are_names(columns: Sequence[Sequence[str]]) -> bool:
    """Whether some column has a word above numbers only, beside columns with numbers as names."""
    return any(
        not is_missing(first) and not is_number(first) and are_numbers(rest)
        for first, *rest in columns
    )


def _all_are_numbers_unlike_the_rest(
    columns: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]
) -> bool:
    """Whether all names are numbers, and differ from the numbers below them."""
    if columns[0][0] == "" and counting(rows):
        return True
    return _is_sequence(rows[0]) and all(_unlike(first, rest) for first, *rest in columns)


def _is_sequence(first: Sequence[str]) -> bool:
    """Whether a row is n, n + 1, .., or has at least three increasing whole numbers."""
    if len(first) < 2 or not all(map(is_whole, first)):
        return False
    steps = [int(b) - int(a) for a, b in zip(first, first[1:], strict=False)]
    return set(steps) == {1} or (len(first) > 2 and min(steps) > 0)


def _unlike(first: str, rest: Sequence[str]) -> bool:
    """Whether the first number of a column differs in kind from the others.

    It does if it is whole and none of the others is, or if it is further from them than they are
    from each other.
    """
    said = [cell for cell in rest if not is_missing(cell)]
    if not said or not all(map(is_number, said)):
        return False
    if not any(map(is_whole, said)):
        return True
    low, high = min(map(float, said)), max(map(float, said))
    return max(low - float(first), float(first) - high) > max(high - low, 1)

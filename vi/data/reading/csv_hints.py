"""Hints for cells that are not numbers, by what they look like.

Each function of ``_LOOKS`` recognises one frequent mistake and returns a hint, or an empty text.
The first hint is used.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vi.data.reading.csv_cells import are_numbers, is_missing, is_number

_SHOWN = 5  # number of kinds shown in a message
_MOST_KINDS = 50
_TRUTH = {"true", "false", "yes", "no", "t", "f", "y", "n"}
_NOTHING = {"-", "--", "---", ".", "..", "*", "#n/a", "#na", "<na>", "nil", "missing", "unknown"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?|[+-]?[\d.]+(;[+-]?[\d.,]+)+")
_SEPARATORS = {"|": r"\s*\|\s*", "a colon": r"\s*:\s*", "blanks": r"\s+"}
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,'_ \u00a0\u202f]\d{3})+(\.\d+)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:.*)?|\d{1,2}:\d{2}(:\d{2}.*)?")
_WITH_UNIT = re.compile(r"[$€£]?\s*[+-]?\d+([.,]\d+)?\s*[^\d\s.,:/-]{1,8}|[$€£]\s*[\d.,]+")
_DECIMAL_POINTS = (
    "the decimals are written with commas; write them with points, for example with pandas: "
    "read_csv(path, sep=';', decimal=',').to_csv('new.csv', index=False)"
)


class _Place(NamedTuple):
    """A cell that is not a number, in its column; ``alone`` if the table has no other column."""

    cell: str
    column: Sequence[str]
    row: int
    alone: bool


def hint_for(column: Sequence[str], row: int, *, alone: bool) -> str:
    """Return what a cell looks like and what to do; an empty text for ordinary text.

    Args:
        column: All cells of its column.
        row: Position of the cell in the column.
        alone: Whether the table has no other column.

    >>> hint_for(["true", "false"], 0, alone=False)
    'the column contains truth values; write 1 and 0'
    """
    place = _Place(column[row], column, row, alone)
    return next(filter(None, (look(place) for look in _LOOKS)), "")


def _unclosed(place: _Place) -> str:
    """Hint for a cell that extends over several lines."""
    return "a quotation mark before it is not closed" if "\n" in place.cell else ""


def _nothing(place: _Place) -> str:
    """Hint for an unknown sign of a missing value."""
    means = "if that means a missing value, leave the cell empty"
    return means if place.cell.lower() in _NOTHING else ""


def _quoted(place: _Place) -> str:
    """Hint for a number in quotes other than double quotes."""
    inner = place.cell.strip("'`\u2018\u2019\u201c\u201d")
    if inner == place.cell or not is_number(inner.replace(",", ".")):
        return ""
    return (
        "the numbers are in quotes of another kind; write them without quotes or in double quotes"
    )


def _written_as(pattern: re.Pattern[str], hint: str) -> Callable[[_Place], str]:
    """Make a function that returns a hint for cells of this pattern."""
    return lambda place: hint if pattern.fullmatch(place.cell) else ""


def _separated(place: _Place) -> str:
    """Hint for a table with one column, whose cells have another separator."""
    if not place.alone:
        return ""
    for name, pattern in _SEPARATORS.items():
        pieces = re.split(pattern, place.cell.strip())
        if len(pieces) > 1 and any(map(is_number, pieces)):
            regex = {"|": r"\|", "a colon": ":", "blanks": r"\s+"}[name]
            return (
                f"the cells look separated by {name}; separate them by commas, for example with "
                f"pandas: read_csv(path, sep=r'{regex}').to_csv('new.csv', index=False)"
            )
    return ""


def _units(place: _Place) -> str:
    """Hint for a row of units below the header."""
    others = [*place.column[: place.row], *place.column[place.row + 1 :]]
    if place.row or not are_numbers(others):
        return ""
    return "all other cells are numbers: is this a row of units? Delete that line"


def _truth(place: _Place) -> str:
    """Hint for a column of truth values."""
    kinds = {cell.lower() for cell in place.column if not is_missing(cell)}
    return "the column contains truth values; write 1 and 0" if kinds <= _TRUTH else ""


def _kinds(place: _Place) -> str:
    """Hint for a column of text with few distinct values."""
    kinds = sorted({cell for cell in place.column if not is_missing(cell)})
    if len(kinds) > min(_MOST_KINDS, len(place.column) // 2):
        return ""
    shown = ", ".join(kinds[:_SHOWN]) + (", ..." if len(kinds) > _SHOWN else "")
    return (
        f"the column is text with {len(kinds)} values ({shown}); write a 0/1 column for each, or "
        "exclude it from x with data.label"
    )


_LOOKS: tuple[Callable[[_Place], str], ...] = (
    _unclosed,
    _nothing,
    _quoted,
    _written_as(_DECIMAL_COMMA, _DECIMAL_POINTS),
    _written_as(_THOUSANDS, "the thousands are separated; write the digits without separators"),
    _separated,
    _units,
    _truth,
    _written_as(
        _DATE, "dates and times are not read; write a number, for example days since the first one"
    ),
    _written_as(
        _WITH_UNIT,
        "a number with a unit; write only the number, and put the unit in the column's name",
    ),
    _kinds,
)

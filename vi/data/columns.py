"""What the columns of a table are called, as it stands among the facts of the data."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

_NAMES, _UNITS = "data/columns", "data/units"


def columns_facts(names: Sequence[str], units: Sequence[str] = ()) -> dict[str, str]:
    """The facts that name the columns, one line of CSV each.

    Args:
        names: In the order of the entries of x; none where they have no names.
        units: Of each column; none where there are no units.

    >>> columns_facts(["duration", "waiting, total"], ["min", "min"])
    {'data/columns': 'duration,"waiting, total"', 'data/units': 'min,min'}
    """
    said = {_NAMES: names, _UNITS: units}
    return {fact: _line(cells) for fact, cells in said.items() if len(cells)}


def column_names(facts: Mapping[str, Any], count: int) -> list[str]:
    """The names among the facts; none where they are not of so many columns.

    >>> column_names({"data/columns": 'duration,"waiting, total"'}, 2)
    ['duration', 'waiting, total']
    >>> column_names({"data/columns": "duration,waiting"}, 3)
    []
    """
    return _cells(facts.get(_NAMES), count)


def column_units(facts: Mapping[str, Any], count: int) -> list[str]:
    """The units among the facts; none where they are not of so many columns."""
    return _cells(facts.get(_UNITS), count)


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()[:-1]


def _cells(line: object, count: int) -> list[str]:
    """Of a line that may come from a file of somebody else."""
    try:
        cells = next(csv.reader(io.StringIO(line), strict=True), []) if type(line) is str else []
    except csv.Error:
        return []
    return cells if len(cells) == count else []

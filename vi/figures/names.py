"""Names of the columns of a table, for the axes of its pictures."""

import re
from collections.abc import Mapping
from typing import Any

from vi.data.columns import column_names, column_units

_WIDTH, _LINES = 18, 2
_AFTER = re.compile(r"(?<=[\s_/.,;:-])")  # places at which a name may be broken


def axis_names(facts: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of the columns with their units, or x_1, x_2, ... if they have none.

    Args:
        facts: Facts of the data, with ``data/columns`` and ``data/units`` if known.
        count: The number of columns.

    >>> axis_names({"data/columns": "duration,waiting", "data/units": "min,min"}, 2)
    ['duration (min)', 'waiting (min)']
    >>> axis_names({}, 2)
    ['$x_{1}$', '$x_{2}$']
    """
    names, units = column_names(facts, count), column_units(facts, count)
    if not names:
        return [f"$x_{{{d}}}$" for d in range(1, count + 1)]
    shown = (
        [f"{name} ({unit})" for name, unit in zip(names, units, strict=True)] if units else names
    )
    return [_fitted(name) for name in shown]


def of_columns(shown: int, count: int) -> str:
    """Return the note on how many columns a picture shows; empty if it shows all.

    >>> of_columns(6, 13), of_columns(6, 6)
    (' (6 of 13 columns)', '')
    """
    return "" if shown == count else f" ({shown} of {count} columns)"


def _fitted(name: str) -> str:
    """Return a name in at most two short lines, with $ escaped so that no formula begins."""
    lines = [""]
    for word in _AFTER.split(" ".join(name.split())):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > _WIDTH:
            lines.append("")
        lines[-1] += word
    lines = [_cut(line.strip()) for line in lines]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], _cut(f"{lines[_LINES - 1]}…")]
    return "\n".join(lines).replace("$", r"\$")


def _cut(line: str) -> str:
    """Return a line that is cut after 18 characters if it is longer than 20."""
    return line if len(line) <= _WIDTH + 2 else f"{line[:_WIDTH]}…"

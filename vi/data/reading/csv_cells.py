"""Classify a cell of a text table: a number, a missing value, or other text."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool

MISSING = ("", "na", "n/a", "null", "none", "?")
_MOST_DIGITS = 18


def is_missing(cell: str) -> bool:
    """Whether a cell is a missing value.

    >>> is_missing("NA"), is_missing("0")
    (True, False)
    """
    return cell.lower() in MISSING


def missing(cells: Iterable[str]) -> Bool[np.ndarray, " N"]:
    """Return which cells are missing values."""
    return np.array([cell.lower() in MISSING for cell in cells], dtype=bool)


def is_number(cell: str) -> bool:
    """Whether a cell is a number; ``1_000``, which Python reads as 1000, is not.

    >>> is_number("-1.5e3"), is_number("1_000"), is_number("1,5")
    (True, False, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def is_whole(cell: str) -> bool:
    """Whether a cell is written as a whole number of at most 18 digits.

    >>> is_whole("2019"), is_whole("2019.0")
    (True, False)
    """
    return len(cell) <= _MOST_DIGITS and cell.removeprefix("-").isdecimal()


def are_numbers(cells: Iterable[str]) -> bool:
    """Whether every cell is a number or missing, and at least one is a number.

    >>> are_numbers(["1", "", "2"]), are_numbers([""]), are_numbers(["1", "a"])
    (True, False, False)
    """
    said = [cell for cell in cells if not is_missing(cell)]
    return bool(said) and all(map(is_number, said))

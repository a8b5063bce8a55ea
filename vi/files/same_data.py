"""Check by checksums that data are those that a run was trained on."""

from collections.abc import Mapping
from typing import Any

from vi.errors import DataError

_SHA256 = "data/sha256"
_OF_THE_PLACE = {"data/file"}  # the same file may lie elsewhere


def require_same_data(trained: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse data files that have changed since training.

    Args:
        trained: The facts of the data at training.
        found: The facts of the data now.

    Raises:
        DataError: A checksum differs, or a file is missing.

    >>> was = {"data/file": "a.csv", "data/sha256": "12"}
    >>> require_same_data(was, was)
    >>> require_same_data(was, {**was, "data/sha256": "34"})
    Traceback (most recent call last):
    vi.errors.DataError: a.csv is not the file the run was trained on
    """
    for key, digest in trained.items():
        if key.startswith(_SHA256) and found.get(key) != digest:
            name = key.removeprefix(_SHA256).lstrip("/")
            name = name or trained.get("data/file") or trained.get("data/name", "the data")
            raise DataError(
                f"{name} is not the file the run was trained on",
                hint="restore the data as they were, or start a new run (init_from=RUN)",
            )


def require_shared_data(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to compare runs whose data differ: another file, split, binarisation or number.

    Args:
        runs: The facts of each run by its name.

    Raises:
        DataError: A fact of the data differs.

    >>> require_shared_data({"a": {"data/binarize": "static"}, "b": {"data/binarize": "dynamic"}})
    Traceback (most recent call last):
    vi.errors.DataError: a and b have different data: binarize is static and dynamic
    """
    (first, facts), *others = runs.items()
    for name, found in others:
        keys = {*facts, *found} - _OF_THE_PLACE
        for key in sorted(keys, key=lambda key: (key != "data/name", key)):
            if key.startswith("data/") and facts.get(key) != found.get(key):
                what = key.removeprefix("data/").replace("_", " ")
                raise DataError(
                    f"{first} and {name} have different data: {what} is {facts.get(key)} and "
                    f"{found.get(key)}",
                    hint="compare runs that were trained with the same options data.*",
                )

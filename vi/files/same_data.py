"""Check by checksums that data are those that a run was trained on."""

from collections.abc import Mapping
from typing import Any

from vi.errors import DataError

_SHA256 = "data/sha256"


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

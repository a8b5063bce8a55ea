"""Files that somebody else made, and how they have to be refused."""

import tracemalloc

import pytest

from vi.data.csv import CSV
from vi.data.image_folder import ImageFolder
from vi.data.npz import NPZ
from vi.data.reading.files import Contents
from vi.errors import DataError


def refuse(match, call, *args, kind=DataError, **arguments):
    with pytest.raises(kind, match=match) as caught:
        call(*args, **arguments)
    assert "\n" not in str(caught.value) + caught.value.hint
    assert len(str(caught.value)) < 500
    assert caught.value.hint
    return caught.value


def contents(tmp_path, data):
    return Contents(data, tmp_path / "file", "")


def refused_at_once(match, call, *args):
    """Refused, and no more than 4 MiB were allocated."""
    tracemalloc.start()
    try:
        error = refuse(match, call, *args)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    return error


READERS = {
    "csv": lambda path: CSV(str(path)).load(),
    "npz": lambda path: NPZ(str(path)).load(),
    "picture": lambda path: ImageFolder(str(path.parent)).load(),
}

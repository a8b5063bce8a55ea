"""How much a .gz file may become, and what it takes to find out."""

import gzip
import tracemalloc

import numpy as np
import pytest

from vi.data.reading import unpacking
from vi.data.reading.unpacking import gunzip
from vi.errors import DataError

MIB = 1 << 20
ZEROS = gzip.compress(bytes(4 * MIB))
EMPTY = gzip.compress(b"")  # says that nothing is in it, as the end of a blocked .gz does


@pytest.fixture
def little(monkeypatch):
    """Bounds a sixteenth of what they are."""
    monkeypatch.setattr(unpacking, "ALWAYS", 16 * MIB)
    monkeypatch.setattr(unpacking, "_FREELY", 4 * MIB)


def peak(call):
    """Bytes at the most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "raw",
    [gzip.compress(bytes(40 * MIB)), ZEROS * 40, ZEROS * 40 + EMPTY],
    ids=["one", "members", "an end that says nothing"],
)
def test_what_becomes_too_much_is_refused_before_it_is_held(raw, little, tmp_path):
    """After so much as any file may become. Caught: all of it held, up to the bound of its size.

    In full size: 4 MB that become 1 GiB took 799 MB and 1.2 s, and take less than 100 MB.
    """

    def refused():
        with pytest.raises(DataError, match="unpacks to 1[67]( MiB|.. MiB); at most 16 MiB"):
            gunzip(tmp_path / "x.gz", raw)

    assert peak(refused) < 10 * MIB


@pytest.mark.parametrize("end", [b"", EMPTY], ids=["plain", "an end that says nothing"])
def test_what_may_become_so_much_is_read_whole(end, little, tmp_path):
    """Caught: a file of several members cut where the first bound is."""
    content = np.random.default_rng(0).integers(0, 50, 10 * MIB, dtype=np.uint8).tobytes()
    parts = [content[: 3 * MIB], content[3 * MIB :]]
    raw = b"".join(gzip.compress(part, 1) for part in parts) + end
    assert gunzip(tmp_path / "x.gz", raw) == content


def test_sparse_counts_as_people_have_them_are_read(little, tmp_path):
    """About one in a hundred is not 0, as whole numbers of 8 bytes: a two-hundredth of the size.

    Caught: a bound of a hundred, which real counts of cells and genes do not keep.
    """
    noise = np.random.default_rng(0)
    counts = np.where(noise.random((600, 5000)) < 0.01, 1, 0)
    raw = gzip.compress(counts.tobytes(), 6)
    assert counts.nbytes > 16 * MIB
    assert 150 < counts.nbytes / len(raw) < unpacking.MOST_RATIO
    assert gunzip(tmp_path / "x.gz", raw) == counts.tobytes()

"""Damaged data files: an error of the data, or what the bytes say; never anything else.

Formats that carry a checksum (npz, gz, png) are read as they were or refused: no number changes.
"""

import gzip
import io
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.support.fuzz import DAMAGES, mutate
from vi.data.csv import CSV
from vi.data.npz import NPZ
from vi.data.reading.csv_table import read_table
from vi.data.reading.files import Contents
from vi.data.reading.idx import read_idx
from vi.data.reading.npz_file import read_npz
from vi.data.reading.pictures import decode
from vi.data.reading.unpacking import gunzip
from vi.errors import DataError

FEW, MANY = range(150), range(1_000, 3_000)
MOST_BYTES = 1 << 25  # that the reading of a file of one or two kilobytes may take
MOST_SECONDS = 1.0
rng = np.random.default_rng(0)


def npz(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, x=rng.normal(size=(20, 3)), y=np.arange(5, dtype=np.uint8), s=np.array(["a", "bc"]))
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def picture(kind: str, mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = rng.integers(0, 255, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def table() -> bytes:
    rows = "".join(f"{a:.3f},{b:.3f},{i}\n" for i, (a, b) in enumerate(rng.normal(size=(30, 2))))
    return b"a,b,c\n" + rows.encode()


def numbers(contents: Contents) -> list[np.ndarray]:
    found = read_table(contents)
    return [found.numbers(name) for name in found.names]


class Kind(NamedTuple):
    """A format: a file, its reader, and whether damage cannot change what is read."""

    content: bytes
    reader: Callable[[Contents], Any]
    summed: bool = False


IDX = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (4, 3, 2)) + bytes(range(24))
KINDS = {
    "npz": Kind(npz(np.savez), read_npz, summed=True),
    "npz compressed": Kind(npz(np.savez_compressed), read_npz, summed=True),
    "npy": Kind(npy(rng.normal(size=(7, 4))), read_npz),
    "npy of bits": Kind(npy(np.asfortranarray(rng.normal(size=(7, 4)) > 0)), read_npz),
    "idx": Kind(IDX, read_idx),
    "csv": Kind(table(), numbers),
    "gz": Kind(gzip.compress(table(), mtime=0), lambda c: gunzip(c.path, c.data), summed=True),
    "png": Kind(picture("PNG", "RGB"), lambda c: decode(c, "RGB"), summed=True),
    "png of colours": Kind(picture("PNG", "P"), lambda c: decode(c, "L"), summed=True),
    "jpg": Kind(picture("JPEG", "RGB"), lambda c: decode(c, "RGB")),
    "jpg progressive": Kind(picture("JPEG", "L", progressive=True), lambda c: decode(c, "L", 8)),
    "bmp": Kind(picture("BMP", "RGB"), lambda c: decode(c, "RGB")),
    "tif": Kind(picture("TIFF", "RGB"), lambda c: decode(c, "RGB")),
}


def equal(one: Any, other: Any) -> bool:
    """Whether two results of a reader are the same, NaN included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bytes):
        return one == other
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def repeats(found: Any, good: Any) -> bool:
    """Whether a text was found more than once, or not at all: .gz files may stand in a row."""
    return isinstance(found, bytes) and found == good * (len(found) // len(good))


def attempt(kind: Kind, content: bytes) -> Any:
    """What is read; None where it is refused. Anything else that is raised, passes."""
    before = time.process_time()
    try:
        found = kind.reader(Contents(content, Path("file"), ""))
    except DataError as error:
        found, lines = None, [str(error), error.hint]
    else:
        lines = ["read"]
    assert all(line and "\n" not in line for line in lines)
    assert time.process_time() - before < MOST_SECONDS
    return found


def check(kind: Kind, seeds: range) -> None:
    good = attempt(kind, kind.content)
    assert good is not None
    refused = 0
    for seed in seeds:
        content = mutate(kind.content, seed)
        found = attempt(kind, content)
        refused += found is None
        if kind.summed and found is not None:
            assert equal(found, good) or repeats(found, good), f"seed {seed}"
    assert len(seeds) / 20 < refused < len(seeds)  # damage is done, and not to every file


@pytest.fixture
def _bounded_memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_bounded_memory")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_damage_is_refused_or_harmless(kind, capfd):
    """13 formats, 150 files each. Caught: RuntimeError, struct.error, tokenize.TokenError, an
    allocation by header; members of a zip file that its directory has lost.
    """
    del capfd  # libtiff writes what it thinks
    check(kind, FEW)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_much_damage_is_refused_or_harmless(kind, capfd):
    """2 000 files of each format."""
    del capfd
    check(kind, MANY)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seeds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("x.npy", lambda path: NPZ(str(path)).load()),
        ("x.csv", lambda path: CSV(str(path), missing="mask").load()),
    ],
)
def test_a_damaged_file_is_loaded_or_refused_as_a_whole(tmp_path, name, load, seeds):
    """With splits and masks, as the command line does it."""
    content = KINDS[name[2:]].content
    for seed in seeds:
        (tmp_path / name).write_bytes(mutate(content, seed))
        try:
            data = load(tmp_path / name)
        except DataError:
            continue
        assert len(data.train) > 0


def test_damage_is_the_same_for_the_same_seed_and_of_every_kind():
    content = bytes(range(256))
    damaged = [mutate(content, seed) for seed in range(50)]
    assert damaged == [mutate(content, seed) for seed in range(50)]
    assert len(set(damaged)) > 40
    assert {len(d) < 256 for d in damaged} == {len(d) > 256 for d in damaged} == {True, False}
    assert len(DAMAGES) == 8
    for seed in range(200):
        assert isinstance(mutate(b"", seed), bytes)


def test_the_check_sees_a_reader_that_raises_something_else():
    """And one that gives another number."""

    with pytest.raises(IndexError):
        check(Kind(table(), lambda c: c.data[300]), FEW)
    with pytest.raises(AssertionError, match="seed"):
        check(Kind(table(), lambda c: np.frombuffer(c.data, np.uint8), summed=True), FEW)


def test_warnings_do_not_hide_in_what_is_read():
    """Without damage nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS.values():
            assert attempt(kind, kind.content) is not None

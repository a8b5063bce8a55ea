"""Files are verified on first use, and a bad one ends in one line with its path."""

import gzip
import hashlib
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vi.data.reading.checksum import checksum, combined
from vi.data.reading.files import Contents, KnownFile, data_dir, read, read_known
from vi.data.reading.idx import read_idx
from vi.data.reading.npz_file import read_npz
from vi.errors import DataError

TEXT = b"the content"
SHA = hashlib.sha256(TEXT).hexdigest()
ZIPPED = gzip.compress(TEXT, mtime=0)
KNOWN = KnownFile("set/file", SHA, hashlib.sha256(ZIPPED).hexdigest())


def put(root, name, content):
    path = root / "set" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def contents(data):
    return Contents(data, data_dir("some/file"), "")


def refuse(match, call, *args):
    with pytest.raises(DataError, match=match) as caught:
        call(*args)
    assert "\n" not in str(caught.value) + caught.value.hint
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("name", "content"),
    [("file", TEXT), ("file.gz", ZIPPED), ("file.gz", gzip.compress(TEXT, 1, mtime=9))],
    ids=["plain", "published gz", "gz by somebody else"],
)
def test_gz_or_not_the_content_is_the_same(tmp_path, name, content):
    path = put(tmp_path, name, content)
    found = read_known("A set", tmp_path, KNOWN)
    assert found == Contents(TEXT, path, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("content", [b"another content", ZIPPED[:-4], b""])
@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_damaged_file_is_refused_with_both_digests(tmp_path, name, content):
    path = put(tmp_path, name, content)
    error = refuse("damaged", read_known, "A set", tmp_path, KNOWN)
    expected = KNOWN.sha256_gz if name.endswith("gz") else SHA
    for part in (str(path), hashlib.sha256(content).hexdigest(), expected):
        assert part in str(error)


def test_a_missing_file_is_named_with_its_sha256_and_folder(tmp_path):
    error = refuse("A set not found", read_known, "A set", tmp_path, KNOWN)
    for part in ("file", SHA, "or its .gz", str(tmp_path / "set"), "VI_DATA_DIR"):
        assert part in error.hint


def test_the_digest_is_remembered_until_the_file_changes(tmp_path, cache):
    path = put(tmp_path, "file", TEXT)
    assert checksum(path, TEXT) == SHA
    assert checksum(path, b"not looked at") == SHA
    path.write_bytes(b"longer than before")
    assert checksum(path, b"longer than before") != SHA
    assert len(list(cache.rglob("checksums/*"))) == 2


def test_a_damaged_marker_is_not_believed(tmp_path, cache):
    path = put(tmp_path, "file", TEXT)
    checksum(path, TEXT)
    for marker in cache.rglob("checksums/*"):
        marker.write_text("")
    assert checksum(path, TEXT) == SHA


def test_a_cache_that_cannot_be_written_is_harmless(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(put(tmp_path, "no folder", b"")))
    assert checksum(put(tmp_path, "file", TEXT), TEXT) == SHA


def test_nothing_is_written_beside_the_data(tmp_path):
    put(tmp_path, "file.gz", ZIPPED)
    before = sorted(tmp_path.rglob("*"))
    read_known("A set", tmp_path, KNOWN)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_combined_digest_knows_names_and_digests():
    digests = {combined(d) for d in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"})}
    assert len(digests) == 4


def test_the_data_folder_is_the_argument_then_the_environment_then_data(monkeypatch):
    monkeypatch.setenv("VI_DATA_DIR", "from-environment")
    assert str(data_dir("given")) == "given"
    assert str(data_dir(None)) == "from-environment"
    monkeypatch.delenv("VI_DATA_DIR")
    assert str(data_dir(None)) == "data"


def test_a_data_folder_whose_name_is_too_long_holds_nothing():
    refuse("A set not found", read_known, "A set", data_dir("x" * 300), KNOWN)


def test_a_missing_path_a_folder_and_a_truncated_gz_are_refused(tmp_path):
    refuse("no such file", read, tmp_path / "missing.csv")
    refuse("is a directory", read, tmp_path)
    refuse("cannot be unzipped", read, put(tmp_path, "x.csv.gz", ZIPPED[:-9]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path):
    path = put(tmp_path, "file", TEXT)
    path.chmod(0)
    refuse("permission denied", read, path)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_idx_round_trip(shape, random):
    array = np.array([random.randrange(256) for _ in range(int(np.prod(shape)))], np.uint8)
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    found = read_idx(contents(header + array.tobytes()))
    assert np.array_equal(found.numpy(), array.reshape(shape))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"\0\0\x08",
        b"\0\0\x0d\1\0\0\0\1x",
        b"text, not idx",
        b"\0\0\x08\3\0\0",
        b"\0\0\x08\1\0\0\0\2x",
        b"\0\0\x08\1\0\0\0\2xyz",
        b"\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_is_no_idx_file_is_refused(data):
    refuse("some/file is not an idx file", read_idx, contents(data))


@pytest.mark.parametrize("keep", [0, 1, 30, -1, -30])
def test_a_truncated_npz_is_refused(tmp_path, keep):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.arange(100))
    refuse("not a readable .npz", read_npz, contents(path.read_bytes()[:keep]))


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"PK\3\4 nonsense", b"\x93NUMPY nonsense"])
def test_what_is_no_npz_is_refused(content):
    refuse("not a readable .npz", read_npz, contents(content))


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], dtype=object))
    refuse("plain arrays", read_npz, contents((tmp_path / "x.npz").read_bytes()))

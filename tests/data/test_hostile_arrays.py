"""Arrays and archives of somebody else: refused at once, before anything is allocated."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from tests.support.hostile import READERS, contents, refuse, refused_at_once
from vi.data.npz import NPZ
from vi.data.reading import memory, unpacking
from vi.data.reading.idx import read_idx
from vi.data.reading.npz_file import read_npz

pytestmark = pytest.mark.usefixtures("no_hang")
ZIPPED = gzip.compress(bytes(1 << 24))


# .npy


def npy(descr="<f8", shape="(3, 2)", body=bytes(48), order="False"):
    text = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + body


def test_the_hand_made_npy_is_one(tmp_path):
    """So that what follows is refused for the one thing that is wrong."""
    found = read_npz(contents(tmp_path, npy(body=np.arange(6.0).tobytes())))["x"]
    assert found.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (npy(shape=f"({2**70},)"), f"states {8 * 2**70} bytes"),
        (npy(shape="(500000000000,)"), "states 4000000000000 bytes"),
        (npy(shape=f"({'9' * 5000},)"), "readable .npz"),
        (npy(shape="(3, 3)"), "states 72 bytes .3 x 3 of float64., and 48 follow"),
        (npy(shape="(3, 1)"), "states 24 bytes"),
        (npy(shape="(-3, -2)"), "not the header of a plain array"),
        (npy(shape="(3, 2)" * 3000), "not the header of a plain array"),
        (npy(shape="(" * 3000), "not the header of a plain array"),
        (npy(shape="__import__('os')"), "not the header of a plain array"),
        (npy(descr="|O"), "Python objects, which are never unpickled"),
        (npy(descr="O"), "Python objects"),
        (npy(descr=[("a", "<f8")]), "not the header of a plain array"),
        (npy(descr="<f7"), "readable .npz"),
        (npy(descr="V8"), "type 'V8'"),
        (npy(descr="<U0", shape=f"({2**40},)", body=b""), "type '<U0'"),
        (npy(descr="|b1", body=bytes([0, 1, 2, 0, 0, 0])), "truth values other than 0 and 1"),
        (npy()[:6], "begins with 93 4e"),
        (b"\x93NUMPY\7\0" + npy()[8:], "begins with 93 4e"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff" + npy()[10:], "not the header of a plain array"),
        (npy()[:40], "not the header of a plain array"),
        (npy()[:-1], "and 47 follow"),
        (npy() + npy(), "follow"),
        (b"", "begins with nothing"),
    ],
)
def test_a_header_that_promises_what_the_file_has_not_is_refused(tmp_path, data, match):
    """Caught: numpy.ndarray(shape) before a byte is read; ast.literal_eval of 3 000 brackets."""
    refused_at_once(match, read_npz, contents(tmp_path, data))


@pytest.mark.parametrize("shape", ["(1099511627776, 0)", "(0, 5)", "(3, 0)"])
def test_arrays_of_nothing_are_refused(tmp_path, shape):
    path = tmp_path / "x.npy"
    path.write_bytes(npy(shape=shape, body=b""))
    refused_at_once("without entries|0 items", lambda: NPZ(str(path)).load())


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype", ["<f4", ">f8", "<i2", "|u1", "|b1", "<U3", "|S2", "<c16", "<M8[D]"]
)
def test_every_plain_array_is_read_as_numpy_reads_it(tmp_path, dtype, order):
    """And so is the file that numpy would map into memory, with a header of version 2."""
    array = np.asarray(np.arange(12).reshape(3, 4) % 2, order=order).astype(dtype)
    for version in ((1, 0), (2, 0), (3, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version)
        found = read_npz(contents(tmp_path, file.getvalue()))["x"]
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
        assert found.flags.writeable


# .npz


PLAIN = npy()


def zipped(name="x.npy", data=PLAIN, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return bytearray(file.getvalue())


def patched(data, where, field, value):
    """Another value in the central directory (``PK\\1\\2``) or in the local header."""
    start = data.rfind(where) + field[0]
    data[start : start + field[1]] = value.to_bytes(field[1], "little")
    return bytes(data)


CENTRAL, LOCAL = b"PK\1\2", b"PK\3\4"
FLAGS, PACKED, UNPACKED = (8, 2), (20, 4), (24, 4)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (zipped("readme.txt"), "'readme.txt' in it is not an array"),
        (zipped("x.npy", b"no array"), "begins with 6e 6f"),
        (zipped("x.npy", npy(shape=f"({2**70},)")), "states"),
        (zipped("x.npy", npy(descr="|O")), "Python objects"),
        (zipped(method=zipfile.ZIP_BZIP2), "compressed by method 12"),
        (zipped(method=zipfile.ZIP_LZMA), "compressed by method 14"),
        (patched(zipped(), CENTRAL, (10, 2), 99), "compressed by method 99"),
        (patched(zipped(), CENTRAL, FLAGS, 1), "encrypted"),
        (patched(zipped(), CENTRAL, UNPACKED, 4_000_000_000), "states 4000000000 bytes from"),
        (patched(zipped(), CENTRAL, PACKED, 4_000_000_000), "from 4000000000, and the file has"),
        (patched(zipped(method=zipfile.ZIP_STORED), CENTRAL, UNPACKED, 500), "states 500 bytes"),
        (patched(zipped(), CENTRAL, (16, 4), 12345), "Bad CRC-32"),
        (patched(zipped(), b"PK\5\6", (10, 2), 2), "counts 2 members and names 1"),
        (bytes(zipped()) + b"more", "is not the end of the file"),
        (bytes(zipped())[:-1], "readable .npz"),
    ],
)
def test_an_archive_that_is_not_what_it_says_is_refused(tmp_path, data, match):
    """Caught: no comparison with the file; RuntimeError of an encrypted one."""
    refused_at_once(match, read_npz, contents(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"PAR1" + bytes(20), "is a Parquet file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "is an HDF5 file"),
        (b"\x80\x04\x95" + bytes(20), "is a pickle"),
        (b"a,b\n1,2\n", "it begins with 61 2c 62 0a"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, data, match):
    refused_at_once(match, read_npz, contents(tmp_path, data))


def test_two_members_of_one_name_are_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", npy())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", npy())
    refuse("two of its members have the same name", read_npz, contents(tmp_path, file.getvalue()))


def test_a_sparse_matrix_of_scipy_is_named(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_matrix(np.eye(5, 4)))
    error = refuse("sparse matrix of scipy, 5 x 4", READERS["npz"], tmp_path / "s.npz")
    assert "load_npz(path).toarray()" in error.hint


# What becomes more


def test_a_gz_that_becomes_too_much_is_refused(tmp_path, monkeypatch):
    """Members of 16 MiB, 16 kB each: no size that the file states would say so."""
    monkeypatch.setattr(unpacking, "ALWAYS", 1 << 25)
    path = tmp_path / "zeros.csv.gz"
    path.write_bytes(ZIPPED * 4)
    error = refuse("unpacks to 33 MiB; at most 32 MiB are unpacked", READERS["csv"], path)
    assert "unpack it yourself" in error.hint


def test_an_npz_that_becomes_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS", 1 << 20)
    file = io.BytesIO()
    np.savez_compressed(file, x=np.zeros((1 << 20, 1)))
    refused_at_once("unpacks to 8 MiB", read_npz, contents(tmp_path, file.getvalue()))


def test_nothing_is_unpacked_that_memory_does_not_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_LITTLE", 0)
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros((1 << 20, 1)))
    refuse("unpacked, would take 8 MiB, and 1 MiB of memory", READERS["npz"], path)


def test_what_unpacks_a_hundredfold_is_read(tmp_path):
    """Counts that are nearly all 0; the sizes of tables that people have."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.eye(1000, 1000, dtype=np.int32))
    assert path.stat().st_size < 4_000_000 / 100
    assert NPZ(str(path)).load().shape == (1000,)


# idx


@pytest.mark.parametrize(
    ("dims", "body", "match"),
    [
        ((65536, 65536, 65536, 65536), b"x", "its header states .65536, 65536, 65536, 65536."),
        ((2**32 - 1,) * 8, b"x", "its header states"),
        ((65536, 0), b"", "its header states .65536, 0., it holds 12 bytes"),
        ((1,) * 255, b"x", "255 dimensions"),
        ((), b"x", "0 dimensions"),
    ],
)
def test_an_idx_file_that_is_not_what_it_says_is_refused(tmp_path, dims, body, match):
    """Caught: a product that wraps round to the length of the file, 0."""
    header = bytes([0, 0, 8, len(dims)]) + b"".join(n.to_bytes(4, "big") for n in dims)
    refused_at_once(match, read_idx, contents(tmp_path, header + body))

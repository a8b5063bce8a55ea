"""Files that somebody else made: refused in one line, at once, before anything is allocated."""

import gzip
import io
import os
import signal
import socket
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from vi.data import memory, unpacking
from vi.data.arrays import NPZ
from vi.data.binary_latent import BinaryLatentData
from vi.data.files import Contents, read
from vi.data.idx import read_idx
from vi.data.image_folder import ImageFolder
from vi.data.npz import read_npz
from vi.data.pictures import decode
from vi.data.synthetic import LinearGaussianData, Mixture2D
from vi.data.tables import CSV
from vi.data.two_moons import TwoMoons
from vi.errors import ConfigurationError, DataError

SECONDS = 60.0  # on a machine that does much else; at once means a tenth of one
ZIPPED = gzip.compress(bytes(1 << 24))


@pytest.fixture(autouse=True)
def _no_hang():
    """A test that waits for a pipe, or reads without end, fails rather than hangs."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


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


# Not regular files


def pipe(path):
    os.mkfifo(path)


def listening(path):
    unix = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has at most some hundred letters
    unix.bind(path.name)
    os.chdir(here)
    unix.close()


def to_zeros(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (pipe, "it is a named pipe"),
        (to_zeros, "it is a device"),
        (listening, "cannot read .*x.png"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
    ],
    ids=["pipe", "zeros", "socket", "broken link"],
)
def test_only_regular_files_are_read(tmp_path, reader, make, match):
    """Caught: open() of a pipe, which waits for a writer; /dev/zero, which never ends."""
    make(tmp_path / "x.png")
    refuse(match, reader, tmp_path / "x.png")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "~nobody-of-this-name/x"])
@pytest.mark.parametrize("data", [CSV, NPZ, ImageFolder])
def test_what_is_no_path_is_refused(data, name):
    refuse("cannot (find|read)|is not a folder", lambda: data(name).load())


def test_a_file_that_memory_does_not_hold_is_refused(tmp_path):
    """A terabyte of nothing, which takes no room on the disk."""
    path = tmp_path / "large.npy"
    path.touch()
    os.truncate(path, 1 << 40)
    error = refused_at_once("it has 1.02e.03 GiB, and .* of memory are free", read, path)
    assert str(path) in str(error)


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
        (npy(shape=f"({2**70},)"), f"promises {8 * 2**70} bytes"),
        (npy(shape="(500000000000,)"), "promises 4000000000000 bytes"),
        (npy(shape=f"({'9' * 5000},)"), "readable .npz"),
        (npy(shape="(3, 3)"), "promises 72 bytes .3 x 3 of float64., and 48 follow"),
        (npy(shape="(3, 1)"), "promises 24 bytes"),
        (npy(shape="(-3, -2)"), "no plain array"),
        (npy(shape="(3, 2)" * 3000), "no plain array"),
        (npy(shape="(" * 3000), "no plain array"),
        (npy(shape="__import__('os')"), "no plain array"),
        (npy(descr="|O"), "Python objects, which are never unpickled"),
        (npy(descr="O"), "Python objects"),
        (npy(descr=[("a", "<f8")]), "no plain array"),
        (npy(descr="<f7"), "readable .npz"),
        (npy(descr="V8"), "type 'V8'"),
        (npy(descr="<U0", shape=f"({2**40},)", body=b""), "type '<U0'"),
        (npy(descr="|b1", body=bytes([0, 1, 2, 0, 0, 0])), "truth values other than 0 and 1"),
        (npy()[:6], "begins with 93 4e"),
        (b"\x93NUMPY\7\0" + npy()[8:], "begins with 93 4e"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff" + npy()[10:], "no plain array"),
        (npy()[:40], "no plain array"),
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
    refused_at_once("no entries|0 items", lambda: NPZ(str(path)).load())


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
        (zipped("readme.txt"), "'readme.txt' in it is no array"),
        (zipped("x.npy", b"no array"), "begins with 6e 6f"),
        (zipped("x.npy", npy(shape=f"({2**70},)")), "promises"),
        (zipped("x.npy", npy(descr="|O")), "Python objects"),
        (zipped(method=zipfile.ZIP_BZIP2), "compressed by method 12"),
        (zipped(method=zipfile.ZIP_LZMA), "compressed by method 14"),
        (patched(zipped(), CENTRAL, (10, 2), 99), "compressed by method 99"),
        (patched(zipped(), CENTRAL, FLAGS, 1), "encrypted"),
        (patched(zipped(), CENTRAL, UNPACKED, 4_000_000_000), "promises 4000000000 bytes from"),
        (patched(zipped(), CENTRAL, PACKED, 4_000_000_000), "from 4000000000, and the file has"),
        (patched(zipped(method=zipfile.ZIP_STORED), CENTRAL, UNPACKED, 500), "promises 500 bytes"),
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
    refuse("two of its members have one name", read_npz, contents(tmp_path, file.getvalue()))


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
        ((65536, 65536, 65536, 65536), b"x", "its header promises .65536, 65536, 65536, 65536."),
        ((2**32 - 1,) * 8, b"x", "its header promises"),
        ((65536, 0), b"", "its header promises .65536, 0., it holds 12 bytes"),
        ((1,) * 255, b"x", "255 dimensions"),
        ((), b"x", "0 dimensions"),
    ],
)
def test_an_idx_file_that_is_not_what_it_says_is_refused(tmp_path, dims, body, match):
    """Caught: a product that wraps round to the length of the file, 0."""
    header = bytes([0, 0, 8, len(dims)]) + b"".join(n.to_bytes(4, "big") for n in dims)
    refused_at_once(match, read_idx, contents(tmp_path, header + body))


# Pictures


def png(size=(4, 4), extra=b""):
    width, height = size
    rows = zlib.compress(b"".join(b"\0" + bytes(4) for _ in range(4)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pieces = chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


def chunk(name, data, length=None):
    size = len(data) if length is None else length
    return struct.pack(">I", size) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_the_hand_made_png_is_one(tmp_path):
    assert decode(contents(tmp_path, png()), "L").shape == (4, 4, 1)


BOMB = zlib.compress(bytes(8 << 20))
TEXT, ITXT = b"Comment\0\0" + BOMB, b"Comment\0\1\0\0\0" + BOMB


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (png((60_000, 60_000)), "readable picture: Image size .3600000000 pixels."),
        (png((9_000, 9_000)), "its header promises 9000x9000 pixels, it has"),
        (png((3_000, 3_000)), "its header promises 3000x3000 pixels, it has"),
        (png(extra=chunk(b"zTXt", TEXT)), "Decompressed data too large"),
        (png(extra=chunk(b"iTXt", ITXT)), "Decompressed data too large"),
        (png(extra=chunk(b"tEXt", b"a\0b", length=200_000_000)), "readable picture"),
        (png()[:-20], "readable picture"),
        (png().replace(b"IDAT", b"IDAX"), "readable picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n", "no whole png, jpg"),
        (b"GIF89a" + bytes(9), "is a GIF picture"),
        (b"%PDF-1.4", "is a PDF document"),
        (b"", "no whole png, jpg"),
    ],
)  # fmt: skip
def test_a_picture_that_is_not_what_it_says_is_refused(tmp_path, data, match):
    """Caught: ValueError of a text chunk; EPS, which Pillow gives to another program."""
    refused_at_once(match, decode, contents(tmp_path, data), "RGB")


def test_a_changed_pixel_is_noticed(tmp_path):
    """By the sums of a PNG file, which Pillow passes over where it has all pixels."""
    good = png()
    at = good.index(b"IDAT") + 4
    for i in range(at, good.index(b"IEND") - 8):
        bad = good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :]
        refuse("readable picture", decode, contents(tmp_path, bad), "L")


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.TIFF", "a.png"])
def test_what_pillow_reads_without_loss_is_read(tmp_path, name):
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(picture).save(tmp_path / name)
    data = ImageFolder(str(tmp_path), validation_fraction=0.0, test_fraction=0.0).load()
    assert np.array_equal(data.train.stored[0].permute(1, 2, 0).numpy(), picture)


def test_a_size_beyond_all_memory_is_refused_with_what_it_would_take(tmp_path, monkeypatch):
    match = r"data.size must be in 1 .. 8192, got 100000, which takes 27.9 GiB a picture"
    refuse(match, ImageFolder, str(tmp_path), kind=ConfigurationError, size=100_000)
    for i in range(6):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(memory, "available", lambda: 1 << 26)
    match = "6 pictures of 3x3000x3000 bytes would take 154 MiB, and 64 MiB of memory are free"
    refuse(match, lambda: ImageFolder(str(tmp_path), size=3000).load())


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, monkeypatch):
    """Caught: its pictures were left out without a word."""
    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    scandir = os.scandir

    def look(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", look)
    refuse("cannot look into .*a: permission denied", lambda: ImageFolder(str(tmp_path)).load())


# Text


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"1," * 1_000_001, "its first line has more than 1000000 cells"),
        (b"1,2\n" + b"1," * 1_000_001, "line 2 .* has 1000002 cells, the first has 2"),
        (b"a\n" + b"x" * 1_000_000, "field larger than field limit .131072. .line 2."),
        (b"a\n" + b"9" * 100_000, "infinite: '9{40}...' in line 2"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file .h5ad, loom, mat"),
        (b"PAR1" + bytes(100), "is a Parquet file"),
        (b"PK\3\4" + bytes(100), "is a zip archive"),
        (b"\xff\xfea\0,\0b\0", "UTF-16 text, not UTF-8"),
        ("a\n1\ngröße\n1\n".encode("latin1"), "not UTF-8 text .line 3."),
        (b"a\n" * 9000 + b"\xff", "not UTF-8 text .line 9001."),
        (b"a\n1\n2\n\0", "it holds zero bytes .line 4."),
    ],
)
def test_text_that_is_no_table_is_refused(tmp_path, data, match):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    refuse(match, READERS["csv"], path)


def test_a_column_may_be_called_as_a_format_begins(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("PAR1,PAR2\n1,2\n3,4\n5,6\n")
    assert CSV(str(path)).load().shape == (2,)


def test_a_table_may_have_one_long_cell(tmp_path):
    """Caught: an array of text, whose cells are all as wide as the longest: 24 GB."""
    rows = [f"{i},{i / 7}" for i in range(20_000)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,b,note", f"0.5,1,{'x' * 100_000}", *(f"{r},-" for r in rows)]))
    assert CSV(str(path), columns=["a", "b"]).load().shape == (2,)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_line_is_one(tmp_path, end):
    path = tmp_path / "x.csv"
    path.write_bytes(end.join(["a,b;c", "1,2", "3,4", "5,6", ""]).encode())
    data = CSV(str(path), validation_fraction=0.0, test_fraction=0.0).load()
    assert sorted(data.train.stored.tolist()) == [[1, 2], [3, 4], [5, 6]]


# Sizes that no machine holds


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LinearGaussianData(n_train=10**15), "1000000000002000 data of 8 numbers would"),
        (lambda: LinearGaussianData(n_test=10**30), "data of 8 numbers would take 5.96e.22 GiB"),
        (lambda: LinearGaussianData(data_dim=10**9), "data.data_dim=1000000000 would take"),
        (lambda: LinearGaussianData(latent_dim=10**15), "data.data_dim=8 would take"),
        (lambda: Mixture2D(num_clusters=10**15), "1000000000000000 clusters would take"),
        (lambda: Mixture2D(n_val=10**15), "data of 10 numbers would take"),
        (lambda: TwoMoons(n_train=10**15), "data of 2 numbers would take"),
        (lambda: BinaryLatentData(data_dim=10**15), "data.data_dim=1000000000000000 would take"),
        (lambda: BinaryLatentData(n_train=10**15), "data of 48 numbers would take"),
    ],
)
def test_data_that_no_machine_holds_are_not_drawn(make, match):
    refused_at_once(match, lambda: make().load())


def test_labels_of_as_many_kinds_as_rows_are_not_made_one_hot(tmp_path, monkeypatch):
    """Caught: a unit matrix of 40 GB for a column of names."""
    monkeypatch.setattr(memory, "available", lambda: 1 << 26)
    path = tmp_path / "x.csv"
    path.write_text("a,name\n" + "".join(f"{i},n{i}\n" for i in range(10_000)))
    match = "8000 labels of 10000 kinds, one-hot, would take 305 MiB, and 64 MiB of memory"
    refuse(match, CSV(str(path), label="name", context="label").load)

"""Pictures that somebody else made: refused in one line, at once, before anything is allocated."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.support.hostile import contents, refuse, refused_at_once
from vi.data.image_folder import ImageFolder
from vi.data.reading import memory
from vi.data.reading.pictures import decode
from vi.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("no_hang")


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
        (png((9_000, 9_000)), "its header states 9000x9000 pixels, it has"),
        (png((3_000, 3_000)), "its header states 3000x3000 pixels, it has"),
        (png(extra=chunk(b"zTXt", TEXT)), "Decompressed data too large"),
        (png(extra=chunk(b"iTXt", ITXT)), "Decompressed data too large"),
        (png(extra=chunk(b"tEXt", b"a\0b", length=200_000_000)), "readable picture"),
        (png()[:-20], "readable picture"),
        (png().replace(b"IDAT", b"IDAX"), "readable picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n", "not a complete"),
        (b"GIF89a" + bytes(9), "is a GIF picture"),
        (b"%PDF-1.4", "is a PDF document"),
        (b"", "not a complete"),
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
    refuse(
        "cannot read the folder .*a: permission denied", lambda: ImageFolder(str(tmp_path)).load()
    )

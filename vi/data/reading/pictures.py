"""Picture files as arrays of bytes."""

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from vi.data.reading.files import Contents
from vi.data.reading.foreign import foreign
from vi.data.reading.formats import refuse_other
from vi.data.reading.unpacking import DEFLATE_RATIO
from vi.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LARGEST = 8192  # largest height and width to which pictures are resized

# Pillow reads more formats. One of them, EPS, is a program, which Pillow passes to Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff")
_SMALL = 1 << 22  # number of pixels that any file may have
_PIXELS_A_BYTE = 8 * DEFLATE_RATIO  # for pixels of one bit

_DEEP = ("I", "F")  # first letters of the modes with more than eight bits


def decode(contents: Contents, mode: str, size: int | None = None) -> UInt8[np.ndarray, "H W C"]:
    """Decode a picture: (height, width, channels).

    Args:
        contents: The file.
        mode: ``L`` for grey, ``RGB`` for colour; transparency is discarded.
        size: Height and width to which it is resized, bicubic and antialiased; None keeps its
            size.

    Raises:
        DataError: The file is not a picture, is truncated or damaged, has more pixels than its
            bytes can explain, or more than eight bits per channel.
    """
    refuse_other(contents, _MAGIC)
    hint = "remove the file, or save it again as png or jpg"
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with foreign(contents.path, "a readable picture", hint=hint):
            _check_sums(contents)
            with _opened(contents) as picture:
                _check_size(picture, len(contents.data))
                return _array(contents.path, picture, mode, size)


def _opened(contents: Contents) -> Image.Image:
    """Open a picture in one of the accepted formats."""
    try:
        return Image.open(io.BytesIO(contents.data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("it is not a complete png, jpg, bmp or tif file") from error


def _check_sums(contents: Contents) -> None:
    """Verify the checksums of a PNG file, which Pillow skips once it has all pixels."""
    if contents.data.startswith(_MAGIC[0]):
        with _opened(contents) as picture:
            picture.verify()


def _check_size(picture: Image.Image, length: int) -> None:
    """Refuse a picture with more pixels than its bytes can explain."""
    width, height = picture.size
    if width * height > max(_SMALL, _PIXELS_A_BYTE * length):
        raise ValueError(f"its header states {height}x{width} pixels, it has {length} bytes")


def _array(path: Path, picture: Image.Image, mode: str, size: int | None) -> np.ndarray:
    """Convert and resize a picture."""
    if picture.mode.startswith(_DEEP):
        raise DataError(
            f"{path} has more than eight bits per channel (mode {picture.mode})",
            hint="convert it to eight bits, or use data=npz with floating-point values",
        )
    converted = picture.convert(mode)
    if size is not None:
        converted = converted.resize((size, size), Image.Resampling.BICUBIC)
    return np.atleast_3d(np.asarray(converted))


def shrink(ink: UInt8[np.ndarray, "N H W"], size: int) -> UInt8[np.ndarray, "N size size"]:
    """Shrink binary drawings to grey levels, 255 = ink, bicubic and antialiased.

    Args:
        ink: 1 for ink, (N, H, W).
        size: Height and width of the results.

    >>> shrink(np.ones((1, 105, 105), np.uint8), 28).shape
    (1, 28, 28)
    """
    to = (size, size)
    grey = (Image.fromarray(b).resize(to, Image.Resampling.BICUBIC) for b in ink * np.uint8(255))
    return np.stack([np.asarray(picture) for picture in grey])

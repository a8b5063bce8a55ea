"""Picture files as arrays of bytes."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vi.data.files import Contents
from vi.errors import DataError

_DEEP = ("I", "F")  # modes with more than eight bits begin so


def decode(contents: Contents, mode: str, size: int | None = None) -> UInt8[np.ndarray, "H W C"]:
    """Decode a picture: (height, width, channels).

    Args:
        contents: The file.
        mode: ``L`` for grey, ``RGB`` for colour; transparency is dropped.
        size: Height and width to resize to, bicubic and antialiased; None keeps the picture's.

    Raises:
        DataError: The file is no picture, is truncated, or has more than eight bits per channel.
    """
    try:
        with Image.open(io.BytesIO(contents.data)) as picture:
            return _array(contents.path, picture, mode, size)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{contents.path} is not a readable picture: {' '.join(str(error).split())}",
            hint="remove the file or write it anew as png or jpg",
        ) from error


def _array(path: Path, picture: Image.Image, mode: str, size: int | None) -> np.ndarray:
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
    """Shrink pictures of ink bits to grey levels, 255 = ink, bicubic and antialiased.

    >>> shrink(np.ones((1, 105, 105), np.uint8), 28).shape
    (1, 28, 28)
    """
    to = (size, size)
    grey = (Image.fromarray(b).resize(to, Image.Resampling.BICUBIC) for b in ink * np.uint8(255))
    return np.stack([np.asarray(picture) for picture in grey])

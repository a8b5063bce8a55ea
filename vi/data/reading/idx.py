"""The idx format of MNIST: a big-endian header, followed by bytes."""

import math

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vi.data.reading.files import Contents
from vi.errors import DataError

_UNSIGNED_BYTE = 8
_MOST_DIMS = 8


def read_idx(contents: Contents) -> UInt8[Tensor, "*shape"]:
    """Read an idx file of unsigned bytes.

    The header consists of 0, 0, the element type (8 for unsigned bytes), the number of dimensions
    d, and d sizes of four bytes each (LeCun, Bottou, Bengio, Haffner 1998,
    http://yann.lecun.com/exdb/mnist).

    Raises:
        DataError: The magic number is wrong, the sizes do not match the length, or there are no
            data.

    >>> from pathlib import Path
    >>> raw = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])
    >>> read_idx(Contents(raw, Path("labels"), ""))
    tensor([7, 9], dtype=torch.uint8)
    """
    data = contents.data
    if data[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or len(data) < 4:
        raise _damaged(contents, f"its magic number is {data[:4].hex(' ') or 'missing'}")
    start = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if not 1 <= len(shape) <= _MOST_DIMS:
        raise _damaged(contents, f"its header states {len(shape)} dimensions")
    if 0 in shape or len(data) != start + math.prod(shape):
        raise _damaged(contents, f"its header states {shape}, it holds {len(data)} bytes")
    array = np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    return torch.from_numpy(array.copy())


def _damaged(contents: Contents, reason: str) -> DataError:
    return DataError(
        f"{contents.path} is not an idx file of bytes: {reason}",
        hint="replace it with the original file",
    )

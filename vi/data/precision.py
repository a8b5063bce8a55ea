"""The precision in which numbers of a file are stored without loss."""

import numpy as np
import torch
from torch import Tensor

_ROWS = 1 << 16


def floating(array: np.ndarray) -> Tensor:
    """Return real numbers (N, ...) as floating point: the default precision, or double if needed.

    Single precision needs half the memory. It represents bits, counts below 2^24, and data that
    were in single precision before, exactly; of 600 different times in seconds since 1970 it keeps
    9.

    >>> floating(np.array([0.5, 3.0])).dtype, floating(np.array([1.7e9 + 0.5])).dtype
    (torch.float32, torch.float64)
    """
    dtype = torch.get_default_dtype()
    narrow = torch.empty((), dtype=dtype).numpy().dtype
    parts = np.split(array, range(_ROWS, len(array), _ROWS))
    if all(_holds(narrow, part) for part in parts):
        return torch.from_numpy(array.astype(narrow))
    return torch.from_numpy(array.astype(np.float64))


def _holds(narrow: np.dtype, array: np.ndarray) -> bool:
    """Whether the narrow type represents all numbers exactly."""
    with np.errstate(over="ignore"):
        kept = array.astype(narrow)
    wide = array if array.dtype.kind == "f" else array.astype(np.float64)
    return bool(np.array_equal(kept.astype(np.float64), wide, equal_nan=True))

"""Scale, bins and positions of the points of one column of a table."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

_FEWEST, _MOST = 5, 60  # bins
_TAIL = 0.005  # quantile cut off on each side of the draws of a model, which may lie anywhere
_FEW, _SPREAD = 12, 0.25  # up to 12 different whole numbers are jittered by 0.25, to be visible
_EACH = 20  # up to this range each whole number has its own bin
_LARGE, _LONG = 30, 10  # counts beyond 30 and beyond 10 medians have a logarithmic axis


class Column:
    """Common scale and bins for the values of the data and of the model in one column.

    Whole numbers have bins of whole width, centred at whole numbers; other values have bins of the
    width of Freedman and Diaconis. Counts with a long tail have a logarithmic axis.

    Args:
        data: Values (N,) that determine scale and bins; NaN is left out.
        others: Values that are drawn in the same bins, which extend to them.

    >>> import torch
    >>> Column(torch.tensor([0.0, 1.0, 1.0, 3.0])).edges.tolist()
    [-0.5, 0.5, 1.5, 2.5, 3.5]
    """

    def __init__(self, data: Tensor, *others: Tensor) -> None:
        x, beside = _finite(data), [_finite(other) for other in others]
        self.whole = bool(len(x)) and bool((x == x.round()).all())
        self.few = self.whole and len(np.unique(x)) <= _FEW
        self.scale: Literal["linear", "symlog"] = "linear"
        if self.whole and x.min() >= 0 and x.max() > max(_LARGE, _LONG * np.median(x)):
            self.scale = "symlog"
        self.edges = self._edges(x, *_range([x, *beside]))

    def shares(self, column: Tensor) -> Float[np.ndarray, " bins"]:
        """Return the fraction of the values in each bin, between 0 and 1."""
        values = _finite(column)
        return np.histogram(values, self.edges)[0] / max(1, len(values))

    def places(self, column: Tensor, seed: int) -> Float[np.ndarray, " N"]:
        """Return the positions (N,) of the points; few different whole numbers are jittered."""
        values = column.double().numpy(force=True)
        if not self.few:
            return values
        return values + np.random.default_rng(seed).uniform(-_SPREAD, _SPREAD, len(values))

    def _edges(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        """Return the bin edges for values between low and high."""
        if self.scale == "symlog":
            grown = np.geomspace(1, max(2.0, high + 1), _MOST // 2).round()
            return np.unique(np.concatenate([[math.floor(low)], grown])) - 0.5
        width = _width(x)
        if self.whole:
            reach = high - low + 1
            width = 1 if reach <= _EACH else max(1, round(width), math.ceil(reach / _MOST))
            return np.arange(math.floor(low), math.ceil(high) + width + 1e-9, width) - 0.5
        if high == low:
            low, high = low - 0.5, high + 0.5
        number = (high - low) / width if width else math.log2(max(2, len(x))) + 1
        return np.linspace(low, high, int(np.clip(math.ceil(number), _FEWEST, _MOST)) + 1)


def _finite(column: Tensor) -> np.ndarray:
    """Return the finite values in double precision."""
    values = column.double().numpy(force=True)
    return values[np.isfinite(values)]


def _range(columns: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the range of the data, extended to the 0.5 % and 99.5 % quantiles of the others."""
    data, *others = columns
    ends = [np.quantile(other, [_TAIL, 1 - _TAIL]) for other in others if len(other)]
    ends += [np.array([data.min(), data.max()])] if len(data) else []
    if not ends:
        return 0.0, 1.0
    return float(min(end[0] for end in ends)), float(max(end[1] for end in ends))


def _width(x: np.ndarray) -> float:
    """Return the bin width 2 IQR / n^(1/3); 0 if half of the data are one number.

    Reference: Freedman and Diaconis, 1981, https://doi.org/10.1007/BF01025868
    """
    if not len(x):
        return 0.0
    low, high = np.quantile(x, [0.25, 0.75])
    return float(2 * (high - low) / len(x) ** (1 / 3))

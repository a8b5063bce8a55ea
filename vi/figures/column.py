"""One column as it is drawn: on which scale, in which bins, and where its points lie."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

_FEWEST, _MOST = 5, 60  # bins
_TAIL = 0.005  # on each side, of what a model draws: it may lie anywhere
_FEW, _SPREAD = 12, 0.25  # so many whole numbers are spread by so much, to be seen
_EACH = 20  # so many whole numbers have a bin each
_LARGE, _LONG = 30, 10  # counts up to there, and so many medians, are told apart by a logarithm


class Column:
    """What the data and the model have in a column, drawn alike.

    Args:
        data: Chooses scale and bins; NaN is left out.
        others: What is drawn beside it.

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
        """The part of a column that lies in each bin."""
        values = _finite(column)
        return np.histogram(values, self.edges)[0] / max(1, len(values))

    def places(self, column: Tensor, seed: int) -> Float[np.ndarray, " N"]:
        """Where the points of a column are drawn: a few whole numbers a little apart."""
        values = column.double().numpy(force=True)
        if not self.few:
            return values
        return values + np.random.default_rng(seed).uniform(-_SPREAD, _SPREAD, len(values))

    def _edges(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
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
    values = column.double().numpy(force=True)
    return values[np.isfinite(values)]


def _range(columns: Sequence[np.ndarray]) -> tuple[float, float]:
    """From the least to the greatest datum, and further where much of the model lies."""
    data, *others = columns
    ends = [np.quantile(other, [_TAIL, 1 - _TAIL]) for other in others if len(other)]
    ends += [np.array([data.min(), data.max()])] if len(data) else []
    if not ends:
        return 0.0, 1.0
    return float(min(end[0] for end in ends)), float(max(end[1] for end in ends))


def _width(x: np.ndarray) -> float:
    """2 IQR / n^(1/3); 0 where half of the data are one number.

    Reference: Freedman and Diaconis, 1981, https://doi.org/10.1007/BF01025868
    """
    if not len(x):
        return 0.0
    low, high = np.quantile(x, [0.25, 0.75])
    return float(2 * (high - low) / len(x) ** (1 / 3))

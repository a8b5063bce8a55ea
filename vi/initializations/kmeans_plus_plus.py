"""k-means++ initialisation: centres far from one another."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vi.errors import require_positive
from vi.initializations.base import Initialization, too_few

_ROWS = 1 << 14  # rows whose differences are in memory together
_NEAR = 1e-10  # relative squared distance below which it is recomputed from the differences


class KMeansPlusPlus(Initialization):
    """k-means++ initialisation with several candidates per centre.

    Candidates for the next centre are drawn with probability proportional to their squared
    distance from the nearest centre so far; the one that leaves the smallest sum of squared
    distances becomes the centre. With one candidate the expected k-means cost is at most 8 (log C
    + 2) times the minimum.

    Args:
        trials: Candidates per centre; None is 2 + log C.

    Raises:
        ConfigurationError: ``trials`` is not positive.

    Reference: Arthur and Vassilvitskii, 2007, https://dl.acm.org/doi/10.5555/1283383.1283494

    >>> KMeansPlusPlus().centres(torch.tensor([[1.0], [1.0], [2.0]]), 2).sum()
    tensor(3.)
    """

    def __init__(self, trials: int | None = None) -> None:
        if trials is not None:
            require_positive("trials", trials)
        self.trials = trials

    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """Return C distinct rows of x, far from one another, (C, D)."""
        trials = self.trials or 2 + int(math.log(num_components))
        squares = x.square().sum(-1)
        first = torch.randint(len(x), (1,))
        chosen, squared = x[first], _squared_distances(x, squares, first)[0]
        while len(chosen) < num_components:
            if not squared.any():
                raise too_few(num_components, len(chosen))
            tried = drawn(squared, trials)
            left = squared.minimum(_squared_distances(x, squares, tried))
            best = left.sum(1).argmin()
            chosen, squared = torch.cat([chosen, x[tried[best]][None]]), left[best]
        return chosen


def _squared_distances(x: Tensor, squares: Tensor, index: Tensor) -> Float[Tensor, "T N"]:
    """Return squared distances (T, N) of all data from T of them; exactly 0 for equal rows."""
    rows, size = x[index], squares + squares[index][:, None]
    distances = size - 2 * rows @ x.mT
    which, near = (distances <= _NEAR * size).nonzero(as_tuple=True)
    pairs = zip(which.split(_ROWS), near.split(_ROWS), strict=True)
    for trial, datum in pairs:
        distances[trial, datum] = (x[datum] - rows[trial]).square().sum(-1)
    return distances


def drawn(weights: Tensor, count: int) -> Tensor:
    """Draw indices with probability proportional to the weights.

    ``torch.multinomial`` accepts at most 2^24 weights; this has no limit.

    Args:
        weights: Non-negative weights, (N,).
        count: Number of indices, drawn with replacement.

    >>> drawn(torch.tensor([0.0, 2.0, 0.0]), 3)
    tensor([1, 1, 1])
    """
    (candidates,) = weights.nonzero(as_tuple=True)
    cumulated = weights[candidates].double().cumsum(0)
    at = torch.rand(count, dtype=torch.float64, device="cpu").to(weights.device) * cumulated[-1]
    return candidates[torch.searchsorted(cumulated, at).clamp(max=len(candidates) - 1)]

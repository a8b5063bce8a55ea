"""Centres far from one another."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vi.errors import require_positive
from vi.initializations.base import Initialization, too_few

_ROWS = 1 << 14
_NEAR = 1e-10  # of the squares: a distance below it is taken again from the differences


class KMeansPlusPlus(Initialization):
    """Each next centre is the best of a few, drawn with the squared distance as the weight.

    The distance is that from the centres before, and the best leaves the least sum of them. With
    one trial the expected k-means cost is at most 8 (log C + 2) times the least.

    Args:
        trials: How many are drawn for each centre; 2 + log C if not given.

    Raises:
        ConfigurationError: ``trials`` below 1.

    Reference: Arthur and Vassilvitskii, 2007, https://dl.acm.org/doi/10.5555/1283383.1283494

    >>> KMeansPlusPlus().centres(torch.tensor([[1.0], [1.0], [2.0]]), 2).sum()
    tensor(3.)
    """

    def __init__(self, trials: int | None = None) -> None:
        if trials is not None:
            require_positive("trials", trials)
        self.trials = trials

    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """See ``Initialization``."""
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
    """Of all data from some of them; exactly 0 where they are equal."""
    rows, size = x[index], squares + squares[index][:, None]
    distances = size - 2 * rows @ x.mT
    which, near = (distances <= _NEAR * size).nonzero(as_tuple=True)
    pairs = zip(which.split(_ROWS), near.split(_ROWS), strict=True)
    for trial, datum in pairs:
        distances[trial, datum] = (x[datum] - rows[trial]).square().sum(-1)
    return distances


def drawn(weights: Tensor, count: int) -> Tensor:
    """Indices in proportion to the weights, of which torch.multinomial takes at most 2^24."""
    (candidates,) = weights.nonzero(as_tuple=True)
    cumulated = weights[candidates].double().cumsum(0)
    at = torch.rand(count, dtype=torch.float64, device="cpu").to(weights.device) * cumulated[-1]
    return candidates[torch.searchsorted(cumulated, at).clamp(max=len(candidates) - 1)]

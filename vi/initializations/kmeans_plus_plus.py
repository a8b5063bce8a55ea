"""Centres far from one another."""

import torch
from jaxtyping import Float
from torch import Tensor

from vi.initializations.base import Initialization, too_few

_ROWS = 1 << 14


class KMeansPlusPlus(Initialization):
    """Each next centre is drawn with the squared distance from those before as the weight.

    The expected k-means cost is at most 8 (log C + 2) times the best.

    Reference: Arthur and Vassilvitskii, 2007, https://dl.acm.org/doi/10.5555/1283383.1283494

    >>> KMeansPlusPlus().centres(torch.tensor([[1.0], [1.0], [2.0]]), 2).sum()
    tensor(3.)
    """

    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """See ``Initialization``."""
        chosen = x[torch.randint(len(x), ())][None]
        squared = _squared_distance(x, chosen[0])
        while len(chosen) < num_components:
            if not squared.any():
                raise too_few(num_components, len(chosen))
            nearest = x[_drawn(squared)]
            chosen = torch.cat([chosen, nearest[None]])
            squared = squared.minimum(_squared_distance(x, nearest))
        return chosen


def _squared_distance(x: Tensor, centre: Tensor) -> Tensor:
    """(N,), a block of rows at a time; exactly 0 for a row equal to the centre."""
    return torch.cat([(rows - centre).square().sum(-1) for rows in x.split(_ROWS)])


def _drawn(weights: Tensor) -> Tensor:
    """One index in proportion to the weights; torch.multinomial takes at most 2^24 of them."""
    (candidates,) = weights.nonzero(as_tuple=True)
    cumulated = weights[candidates].double().cumsum(0)
    at = torch.searchsorted(cumulated, torch.rand((), dtype=torch.float64) * cumulated[-1])
    return candidates[at.clamp(max=len(candidates) - 1)]

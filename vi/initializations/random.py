"""Random initialisation: any distinct data."""

import torch
from jaxtyping import Float
from torch import Tensor

from vi.initializations.base import Initialization, too_few


class RandomData(Initialization):
    """Random initialisation: the first C distinct rows in a random order.

    Frequent values are more likely to be chosen.

    >>> RandomData().centres(torch.tensor([[1.0], [1.0], [2.0]]), 2).sum()
    tensor(3.)
    """

    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """Return C distinct rows of x in random order, (C, D)."""
        order = torch.randperm(len(x), device=x.device)
        size = 2 * num_components
        while True:
            distinct = _in_order_of_appearance(x[order[:size]])
            if len(distinct) >= num_components:
                return distinct[:num_components]
            if size >= len(x):
                raise too_few(num_components, len(distinct))
            size *= 4


def _in_order_of_appearance(x: Tensor) -> Tensor:
    """Return the distinct rows of x in the order of their first appearance."""
    rows, which = x.unique(dim=0, return_inverse=True)
    position = torch.arange(len(x), device=x.device)
    first = position.new_full((len(rows),), len(x)).scatter_reduce(0, which, position, "amin")
    return x[first.sort().values]

"""The largest value of each column."""

import math

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_bits
from vi.figures.grid import is_image


class MaximumStatistic(Statistic):
    """The largest value of each column of a table: the tail of counts and of real numbers.

    >>> import torch
    >>> MaximumStatistic()(torch.tensor([[1.0, 5.0], [3.0, 2.0]]))
    tensor([3., 5.])
    """

    title = "maximum"

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of tables, other than of bits."""
        return not is_image(x.shape[1:]) and not are_bits(x)

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the largest known value of each column."""
        return x.flatten(1).nan_to_num(-math.inf).amax(0)

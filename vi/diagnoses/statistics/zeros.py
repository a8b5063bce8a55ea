"""The fraction of zeros."""

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_bits, columns_of


class ZerosStatistic(Statistic):
    """The fraction of the values that are 0, of each column or of all pixels: sparsity.

    >>> import torch
    >>> ZerosStatistic()(torch.tensor([[0.0, 5.0], [0.0, 0.0]]))
    tensor([1.0000, 0.5000])
    """

    title = "fraction of zeros"

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of data with zeros that are not bits, whose mean determines it."""
        return bool((x == 0).any()) and not are_bits(x)

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the fractions among the known values."""
        found = columns_of(x)
        return (found == 0).to(x).where(~found.isnan(), found).nanmean(0)

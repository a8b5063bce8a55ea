"""The Fano factor of counts."""

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_counts, columns_of, deviation


class FanoFactorStatistic(Statistic):
    """Variance over mean of the counts of each column: 1 for Poisson counts of one rate.

    >>> import torch
    >>> FanoFactorStatistic()(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    tensor([0.5000, 0.0000])
    """

    title = "Fano factor"

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of counts."""
        return are_counts(x)

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the factors; 0 for a column without counts."""
        found = columns_of(x)
        mean = found.nanmean(0)
        return deviation(found).square() / mean.where(mean > 0, 1.0)

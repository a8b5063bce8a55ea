"""The mean of each column, or of all pixels."""

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, columns_of


class MeanStatistic(Statistic):
    """(1/N) sum_n x_n of each column; of images the mean intensity.

    >>> import torch
    >>> MeanStatistic()(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor([2., 5.])
    """

    title = "mean"

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the means of the known values."""
        return columns_of(x).nanmean(0)

"""The standard deviation of each column, or of all pixels."""

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_bits, columns_of, deviation


class StandardDeviationStatistic(Statistic):
    """The standard deviation of each column; of images that of all pixels together.

    >>> import torch
    >>> StandardDeviationStatistic()(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor([1., 0.])
    """

    title = "standard deviation"

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of all but bits, whose mean determines it."""
        return not are_bits(x)

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the standard deviations of the known values."""
        return deviation(columns_of(x))

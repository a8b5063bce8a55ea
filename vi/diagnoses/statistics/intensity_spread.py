"""How much data differ in their mean entry."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_whole, deviation
from vi.figures.grid import is_image


class IntensitySpreadStatistic(Statistic):
    """The standard deviation over data of a datum's mean entry: do light and dark ones exist?

    >>> import torch
    >>> IntensitySpreadStatistic()(torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    tensor([0.2500])
    """

    title = "sd of the mean entry of a datum"

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of images, and of tables of several bits or counts."""
        return is_image(x.shape[1:]) or (x[0].numel() > 1 and are_whole(x))

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return one number."""
        return deviation(x.flatten(1).nanmean(1, keepdim=True))

    def parts(self, columns: Sequence[str]) -> list[str]:
        """Return one name, for all columns together."""
        del columns
        return ["all"]

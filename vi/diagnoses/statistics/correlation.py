"""Correlations of columns, or of neighbouring pixels."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, deviation, filled
from vi.errors import require_positive
from vi.figures.grid import is_image


class CorrelationStatistic(Statistic):
    """The correlation of each pair of columns; of images that of pixels side by side.

    Args:
        max_columns: Most columns whose pairs are correlated, spread evenly over a table.

    Raises:
        ConfigurationError: ``max_columns`` is below 2.

    >>> CorrelationStatistic()(torch.tensor([[1.0, 5.0, 1.0], [3.0, 9.0, 0.0]]))
    tensor([ 1., -1., -1.])
    """

    title = "correlation"

    def __init__(self, max_columns: int = 16) -> None:
        require_positive("max_columns", max_columns, 1)
        self.max_columns = max_columns

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of images, and of tables of several columns."""
        return is_image(x.shape[1:]) or x[0].numel() > 1

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the correlations; 0 where a column is constant."""
        if is_image(x.shape[1:]):
            beside = torch.stack([x[..., :-1].flatten(), x[..., 1:].flatten()], 1)
            return _correlations(beside)
        table = x.flatten(1)
        return _correlations(table[:, self._chosen(table.shape[1])])

    def parts(self, columns: Sequence[str]) -> list[str]:
        """Return the names of the pairs."""
        chosen = [columns[d] for d in self._chosen(len(columns))]
        return [f"{a}, {b}" for a, b in combinations(chosen, 2)]

    def _chosen(self, count: int) -> list[int]:
        few = min(count, self.max_columns)
        return [d * count // few for d in range(few)]


def _correlations(x: Float[Tensor, "M D"]) -> Float[Tensor, " pairs"]:
    """Return the correlation of each pair of columns, (1, 2), (1, 3), .. in order."""
    x = filled(x)
    scale = deviation(x)
    units = (x - x.mean(0)) / torch.where(scale > 0, scale, torch.inf)
    above = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    return (units.mT @ units / len(x))[above[0], above[1]]

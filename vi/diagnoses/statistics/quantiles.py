"""Quantiles of each column."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from vi.diagnoses.statistics.base import Statistic, are_bits
from vi.errors import ConfigurationError
from vi.figures.grid import is_image


class QuantilesStatistic(Statistic):
    """Quantiles of each column of a table.

    Args:
        levels: Probabilities of the quantiles.

    Raises:
        ConfigurationError: There is no level, or one is not in [0, 1].

    >>> import torch
    >>> QuantilesStatistic([0.5])(torch.tensor([[1.0, 5.0], [3.0, 6.0], [9.0, 5.0]]))
    tensor([3., 5.])
    """

    title = "quantiles"

    def __init__(self, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> None:
        if not levels or not all(0 <= level <= 1 for level in levels):
            raise ConfigurationError(
                f"levels must be in [0, 1], got {list(levels)}", hint="levels=[0.05,0.5,0.95]"
            )
        self.levels = tuple(levels)

    def applies(self, x: Float[Tensor, " N *event"]) -> bool:
        """Of tables, other than of bits."""
        return not is_image(x.shape[1:]) and not are_bits(x)

    def __call__(self, x: Float[Tensor, " N *event"]) -> Float[Tensor, " S"]:
        """Return the quantiles of the known values, column by column for each level."""
        return x.flatten(1).nanquantile(x.new_tensor(self.levels), 0).flatten()

    def parts(self, columns: Sequence[str]) -> list[str]:
        """Return the names of the quantiles."""
        return [f"{name} at {level:g}" for level in self.levels for name in columns]

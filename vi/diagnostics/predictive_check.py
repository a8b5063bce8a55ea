"""A statistic of data among those of replicated data."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_ROUNDING = 1e-9  # relative; deviations that differ by less are equal


class PredictiveCheck(NamedTuple):
    """A statistic of the data, and of R replicated data sets.

    Args:
        title: The statistic.
        of: Where the replicates come from: p(x), or p(x|x_n).
        parts: Names of its S numbers.
        data: Of the data, (S,).
        replicates: Of the replicated data, (R, S).

    >>> others = torch.linspace(-1.0, 1.0, 99)[:, None]
    >>> PredictiveCheck("mean", "p(x)", ["all"], torch.tensor([3.0]), others).p_value
    0.01
    """

    title: str
    of: str
    parts: Sequence[str]
    data: Float[Tensor, " S"]
    replicates: Float[Tensor, "R S"]

    @property
    def deviations(self) -> Float[Tensor, "R1 S"]:
        """All values in standard deviations from their mean, those of the data first."""
        values = torch.cat([self.data[None], self.replicates]).double()
        scale = values.std(0)
        return (values - values.mean(0)) / torch.where(scale > 0, scale, torch.inf)

    @property
    def p_value(self) -> float:
        """The share of all R + 1 data sets whose largest deviation is at least that of the data.

        It is two-sided, counts all S numbers at once, and is at least 1 / (R + 1).
        """
        largest = self.deviations.abs().amax(1)
        return (largest >= largest[0] * (1 - _ROUNDING)).double().mean().item()

"""How many data may climb, for rows through the decoder or for seconds."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from vi.evaluation.escalation.progress import Reached

_FEWEST = 20  # data of a random part, whose spread is known; the time of these is measured first
_LEAST_MORE = 0.05  # of the data that have climbed; fewer are not worth another pass


@dataclass(frozen=True)
class Budget:
    """What the rungs above the first may spend.

    Args:
        refining: Rows of a datum through the decoder on the second rung; 0 if there is none.
        annealing: Rows of a datum on the last rung; 0 if there is none.
        rows: Rows in all, or None.
        seconds: Seconds in all, or None.
    """

    refining: int
    annealing: int
    rows: float | None
    seconds: float | None

    @property
    def a_datum(self) -> int:
        """Rows of a datum that climbs to the end."""
        return self.refining + self.annealing

    def most_rows(self, n: int) -> float:
        """Rows if all of n data climb to the end, as far as the budget reaches."""
        return n * self.a_datum if self.rows is None else min(self.rows, n * self.a_datum)

    def next(self, reached: Reached) -> Int64[Tensor, " M"]:
        """The next data that climb: at random, the same every time, as many as can be afforded."""
        left = reached.unfit & ~reached.escalated
        order = torch.randperm(len(left), generator=torch.Generator().manual_seed(0))
        order = order[left[order]]
        return order[: self._affordable(reached, len(order))].sort().values

    def _affordable(self, reached: Reached, left: int) -> int:
        climbed = int(reached.escalated.sum())
        rows = [r for r in (self.rows, self._rows_of_seconds(reached)) if r is not None]
        if not rows:
            return left
        more = int((min(rows) - reached.spent("rows")) // self.a_datum)
        if not climbed:
            return max(_FEWEST, more)
        return more if more >= max(1, _LEAST_MORE * climbed) else 0

    def _rows_of_seconds(self, reached: Reached) -> float | None:
        """Rows in that time, at the rate so far; before anything is measured, those of a few."""
        if self.seconds is None:
            return None
        seconds = reached.spent("seconds")
        rate = reached.spent("rows") / seconds if seconds else 0.0
        return rate * self.seconds if rate else float(_FEWEST * self.a_datum)

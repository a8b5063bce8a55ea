"""EM with an M-step after every batch."""

from functools import reduce
from operator import add
from typing import Any

import torch

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.models.base import LatentVariableModel
from vi.models.statistics import Statistics
from vi.schemes.base import Context
from vi.schemes.exact import ExactScheme, free_energy_estimate, require_exact


class IncrementalEM(ExactScheme):
    """EM that replaces one batch's part of the sufficient statistics, then does an M-step.

    The first epoch is one iteration of ordinary EM. From then on F(q, theta) + log p(theta) never
    falls; it is recorded after every half step. The statistics of every batch are stored, so the
    memory grows with the number of batches and not with the number of data.

    Args:
        tolerance: Training ends when an epoch gains less than this, in nats per datum; 0 continues
            until ``trainer.max_epochs``.

    Raises:
        ConfigurationError: ``tolerance`` is negative.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
    """

    def __init__(self, tolerance: float = 1e-6) -> None:
        super().__init__(tolerance)
        self.parts: list[Statistics] = []
        self.whole: Statistics | None = None  # the sum of all parts, after the first epoch
        self.position = 0

    @torch.no_grad()
    def step(self, context: Context, batch: Batch) -> Estimate:
        """Do the E-step of one batch and, after the first epoch, an M-step."""
        exact = require_exact(context.model)
        q = exact.posterior(batch.x, **batch.given)
        part = exact.statistics(batch.x, q, **batch.given)
        estimate = free_energy_estimate(exact, q, part, batch)
        if self.whole is None:
            self.parts.append(part)
            return estimate
        self.whole = self.whole - self.parts[self.position] + part
        self.parts[self.position] = part
        self.position += 1
        self.monitor.record("e", exact, self.whole, self.ledger)
        exact.m_step(self.whole)
        self.monitor.record("m", exact, self.whole, self.ledger)
        return estimate

    @torch.no_grad()
    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """Sum all parts again, to discard rounding errors; in the first epoch do the M-step."""
        exact, first = require_exact(model), self.whole is None
        self.whole, self.position = reduce(add, self.parts), 0
        if first:
            self.monitor.record("e", exact, self.whole, self.ledger)
            exact.m_step(self.whole)
            self.monitor.record("m", exact, self.whole, self.ledger)
        assert self.monitor.objective is not None
        self.reached(self.monitor.objective / float(self.whole["count"]))

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics of every batch, the position in the epoch, and the objective."""
        return {
            "parts": [part.sums for part in self.parts],
            "whole": self.whole.sums if self.whole else None,
            "position": self.position,
            "level": self.level,
            "account": self.monitor.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the statistics of every batch, the position in the epoch, and the objective."""
        self.parts = [Statistics(sums) for sums in state["parts"]]
        self.whole = Statistics(state["whole"]) if state["whole"] else None
        self.position, self.level = state["position"], state["level"]
        self.monitor.load_state_dict(state["account"])

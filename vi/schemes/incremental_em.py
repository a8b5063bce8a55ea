"""An M-step after every batch."""

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
    """Every batch replaces its own part of the statistics, and an M-step follows at once.

    The first epoch is an iteration of ordinary EM; from then on F(q, theta) + log p(theta) never
    falls, and is watched after every half step. The parts of all batches are kept, so the memory
    grows with their number, not with that of the data.

    Args:
        tolerance: Training ends when an epoch wins less than this, in nats per datum; 0 goes on
            until ``trainer.max_epochs``.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
    """

    def __init__(self, tolerance: float = 1e-6) -> None:
        super().__init__(tolerance)
        self.parts: list[Statistics] = []
        self.whole: Statistics | None = None  # the sum of all parts, after the first epoch
        self.position = 0

    @torch.no_grad()
    def step(self, context: Context, batch: Batch) -> Estimate:
        """The E-step of one batch, and an M-step."""
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
        """Add the parts up anew, so that rounding does not; the M-step of the first epoch."""
        exact, first = require_exact(model), self.whole is None
        self.whole, self.position = reduce(add, self.parts), 0
        if first:
            self.monitor.record("e", exact, self.whole, self.ledger)
            exact.m_step(self.whole)
            self.monitor.record("m", exact, self.whole, self.ledger)
        assert self.monitor.objective is not None
        self.reached(self.monitor.objective / float(self.whole["count"]))

    def state_dict(self) -> dict[str, Any]:
        """The parts and the objective."""
        return {
            "parts": [part.sums for part in self.parts],
            "whole": self.whole.sums if self.whole else None,
            "position": self.position,
            "level": self.level,
            "account": self.monitor.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.parts = [Statistics(sums) for sums in state["parts"]]
        self.whole = Statistics(state["whole"]) if state["whole"] else None
        self.position, self.level = state["position"], state["level"]
        self.monitor.load_state_dict(state["account"])

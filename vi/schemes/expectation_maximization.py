"""What the schemes of exact E- and M-steps over the whole data share."""

from abc import abstractmethod
from typing import Any

import torch
from torch.distributions import Distribution

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.models.base import LatentVariableModel
from vi.models.spare import Spare
from vi.models.statistics import Statistics
from vi.schemes.base import Context
from vi.schemes.exact import ExactScheme, free_energy_estimate, require_exact

_SPARE = "spare_"  # before the names of what is spared, among the sums of a state


class ExpectationMaximization(ExactScheme):
    """Closed-form steps: no optimiser, no learning rate.

    An implementer writes ``complete``, which makes the q of the E-step from the posterior. One
    iteration is one epoch: the statistics of its batches add up, then comes the M-step. The
    objective F(q, theta) + log p(theta) is watched after every half step.

    Args:
        tolerance: Training ends when an iteration wins less than this, in nats per datum; 0 goes
            on until ``trainer.max_epochs``.
    """

    def __init__(self, tolerance: float = 1e-6) -> None:
        super().__init__(tolerance)
        self.statistics: Statistics | None = None
        self.spare: Spare | None = None

    @abstractmethod
    def complete(self, posterior: Distribution) -> Distribution:
        """The q of the E-step, batch_shape (B,)."""

    @torch.no_grad()
    def step(self, context: Context, batch: Batch) -> Estimate:
        """The E-step of one batch."""
        exact = require_exact(context.model)
        q = self.complete(exact.posterior(batch.x, **batch.given))
        statistics = exact.statistics(batch.x, q, **batch.given)
        self.statistics = statistics if self.statistics is None else self.statistics + statistics
        self.spare = exact.spare(batch.x, q, self.statistics, self.spare)
        return free_energy_estimate(exact, q, statistics, batch)

    @torch.no_grad()
    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """The M-step; on a plateau a step off it instead, if the model knows one."""
        exact, statistics = require_exact(model), self.statistics
        assert statistics is not None  # an epoch has a batch
        plateau = self.reached(self.monitor.record("e", exact, statistics, self.ledger))
        spare, self.statistics, self.spare = self.spare, None, None
        if plateau and self.monotone and exact.leave_saddle(statistics):
            self.converged = False
            return
        refilled = exact.m_step_refilled(statistics, spare)
        self.converged = self.converged and refilled is statistics
        statistics = exact.reduce(refilled) if self.monotone else refilled
        self.monitor.record("m", exact, statistics, self.ledger)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far, what could be spared, and the objective."""
        sums = self.statistics.sums if self.statistics else None
        if sums and self.spare:
            sums = sums | {_SPARE + name: value for name, value in self.spare.tensors().items()}
        return {"sums": sums, "level": self.level, "account": self.monitor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        sums = dict(state["sums"] or {})
        spared = {k.removeprefix(_SPARE): sums.pop(k) for k in list(sums) if k.startswith(_SPARE)}
        self.statistics = Statistics(sums) if sums else None
        self.spare = Spare(**spared) if spared else None
        self.level = state["level"]
        self.monitor.load_state_dict(state["account"])

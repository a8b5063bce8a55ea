"""What the schemes of exact E- and M-steps over the whole data share."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.optim import Optimizer

from vi.bounds.base import Bound, Estimate
from vi.models.base import LatentVariableModel, Statistics
from vi.schemes.base import Batch
from vi.schemes.exact import ExactScheme, free_energy_estimate, require_exact


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

    @abstractmethod
    def complete(self, posterior: Distribution) -> Distribution:
        """The q of the E-step, batch_shape (B,)."""

    @torch.no_grad()
    def step(
        self,
        bound: Bound,
        model: LatentVariableModel,
        batch: Batch,
        optimizers: Sequence[Optimizer],
        backward: Callable[[Tensor], None],
    ) -> Estimate:
        """The E-step of one batch."""
        exact = require_exact(model)
        q = self.complete(model.posterior(batch.x, **batch.given))
        statistics = exact.statistics(batch.x, q, **batch.given)
        self.statistics = statistics if self.statistics is None else self.statistics + statistics
        return free_energy_estimate(exact, q, statistics, batch)

    @torch.no_grad()
    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """The M-step; on a plateau a step off it instead, if the model knows one."""
        exact, statistics = require_exact(model), self.statistics
        assert statistics is not None  # an epoch has a batch
        plateau = self.reached(self.account.record("e", exact, statistics, self.ledger))
        self.statistics = None
        if plateau and self.monotone and exact.leave_saddle(statistics):
            self.converged = False
            return
        exact.m_step(statistics)
        if self.monotone:
            statistics = exact.reduce(statistics)
        self.account.record("m", exact, statistics, self.ledger)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far and the objective."""
        sums = self.statistics.sums if self.statistics else None
        return {"sums": sums, "level": self.level, "account": self.account.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.statistics = Statistics(state["sums"]) if state["sums"] else None
        self.level = state["level"]
        self.account.load_state_dict(state["account"])

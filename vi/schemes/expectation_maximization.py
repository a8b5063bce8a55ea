"""The base of the EM schemes with exact steps over the whole data set."""

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

_SPARE = "spare_"  # prefix of the names of the data kept for refilling, in a state's sums


class ExpectationMaximization(ExactScheme):
    """EM with closed-form steps over the whole data set, without optimiser or learning rate.

    One iteration is one epoch: the E-step adds up the sufficient statistics of its batches, and
    the M-step at its end maximises F(q, theta) + log p(theta) in theta. This objective is recorded
    after every half step. An implementer writes ``complete``, which makes the q of the E-step from
    the posterior: the posterior itself, its mode, or a draw.

    Args:
        tolerance: Training ends when an iteration gains less than this, in nats per datum; 0
            continues until ``trainer.max_epochs``.

    Raises:
        ConfigurationError: ``tolerance`` is negative.
    """

    def __init__(self, tolerance: float = 1e-6) -> None:
        super().__init__(tolerance)
        self.statistics: Statistics | None = None
        self.spare: Spare | None = None

    @abstractmethod
    def complete(self, posterior: Distribution) -> Distribution:
        """Return the q of the E-step, batch_shape (B,), given the posterior p(z|x) of a batch."""

    @torch.no_grad()
    def step(self, context: Context, batch: Batch) -> Estimate:
        """Do the E-step of one batch: add its sufficient statistics under q."""
        exact = require_exact(context.model)
        q = self.complete(exact.posterior(batch.x, **batch.given))
        statistics = exact.statistics(batch.x, q, **batch.given)
        self.statistics = statistics if self.statistics is None else self.statistics + statistics
        self.spare = exact.spare(batch.x, q, self.statistics, self.spare)
        return free_energy_estimate(exact, q, statistics, batch)

    @torch.no_grad()
    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """Do the M-step.

        On a plateau, a model that can leave a saddle point does so instead, and training
        continues. Components without data are refilled first, from data that the model describes
        badly.
        """
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
        """Return the statistics so far, the data kept for refilling, and the objective."""
        sums = self.statistics.sums if self.statistics else None
        if sums and self.spare:
            sums = sums | {_SPARE + name: value for name, value in self.spare.tensors().items()}
        return {"sums": sums, "level": self.level, "account": self.monitor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the statistics, the data kept for refilling, and the objective."""
        sums = dict(state["sums"] or {})
        spared = {k.removeprefix(_SPARE): sums.pop(k) for k in list(sums) if k.startswith(_SPARE)}
        self.statistics = Statistics(sums) if sums else None
        self.spare = Spare(**spared) if spared else None
        self.level = state["level"]
        self.monitor.load_state_dict(state["account"])

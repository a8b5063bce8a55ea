"""Successive halving of several starts of EM: the better half continues in each round."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.errors import NumericsError
from vi.models.exact import ExactModel
from vi.models.spare import Spare
from vi.models.statistics import Statistics

ROWS = 1 << 14  # number of data whose statistics are computed at once
STANDS = 1e-7  # nats per datum: a start has converged when an iteration gains less
_ROUNDS = (10, 20, 60)  # iterations of EM in each round; the better half continues
_LONG = 1 << 19  # numbers in the data times components up to which all rounds are run


@dataclass(frozen=True)
class SuccessiveHalving:
    """Choice of the best of several starts of EM; most iterations go to the most promising ones.

    Args:
        model: The model; its parameters are changed.
        x: The training data.
        infer: Maps some of the data to the q of the E-step.

    Reference: Biernacki, Celeux and Govaert, 2003, https://doi.org/10.1016/S0167-9473(02)00163-9
    """

    model: ExactModel
    x: Float[Tensor, "N D"]
    infer: Callable[[Tensor], Distribution]

    def run(self, starts: Sequence[Callable[[], object]], num_components: int) -> None:
        """Set the model to the parameters that the best start has reached.

        Args:
            starts: Functions that set the parameters of the model.
            num_components: C, with which the cost of an iteration grows.

        Raises:
            NumericsError: The M-step has no maximum in any start.
        """
        rounds = _ROUNDS if self.x.numel() * num_components <= _LONG else _ROUNDS[:1]
        tried = [self._tried(start, rounds[0]) for start in starts]
        for iterations in rounds[1:]:
            best = sorted(tried, key=lambda one: one.objective)[-((len(tried) + 1) // 2) :]
            tried = [self._further(one, iterations) for one in best]
        best = max(tried, key=lambda one: one.objective)
        if best.failure:
            raise best.failure
        self.model.load_state_dict(best.state)

    def _further(self, one: "_Tried", iterations: int) -> "_Tried":
        """Continue a start, unless it has failed or converged."""
        if one.failure or one.stands:
            return one
        further = self._tried(lambda: self.model.load_state_dict(one.state), iterations)
        return one if further.failure else further

    def _tried(self, begin: Callable[[], object], iterations: int) -> "_Tried":
        """Run a start; return its parameters and objective, or its failure."""
        try:
            begin()
            objective, stands = self._climb(iterations)
        except NumericsError as error:
            return _Tried(-math.inf, failure=error)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return _Tried(objective, state, stands)

    def _climb(self, iterations: int) -> tuple[float, bool]:
        """Run EM; return the objective, and whether it converged before the last iteration."""
        statistics, spare = self._add_up()
        objective = before = -math.inf
        for _ in range(iterations):
            self.model.m_step_refilled(statistics, spare)
            statistics, spare = self._add_up()
            objective = self.model.objective(statistics)
            if objective - before < STANDS * len(self.x):
                return objective, True
            before = objective
        return objective, False

    def _add_up(self) -> tuple[Statistics, Spare | None]:
        """Return the statistics of all data, and the spare ones, block by block."""
        total, spare = None, None
        for rows in self.x.split(ROWS):
            q = self.infer(rows)
            statistics = self.model.statistics(rows, q)
            total = statistics if total is None else total + statistics
            spare = self.model.spare(rows, q, total, spare)
        assert total is not None  # there are data
        return total, spare


@dataclass(frozen=True)
class _Tried:
    """The state of a start after some iterations, or the error that ended it."""

    objective: float
    state: dict[str, Tensor] = field(default_factory=dict)
    stands: bool = False
    failure: NumericsError | None = None

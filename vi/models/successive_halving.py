"""Several starts of EM, of which the better half goes on, and again."""

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

ROWS = 1 << 14  # of the data, whose statistics are computed at once
STANDS = 1e-7  # nats per datum: an iteration that wins less was the last of a start
_ROUNDS = (10, 20, 60)  # iterations of EM, after each of which the better half goes on
_LONG = 1 << 19  # numbers times components, up to which there is more than the first round


@dataclass(frozen=True)
class SuccessiveHalving:
    """The best of several starts of EM; most of the iterations go to those that look best.

    Args:
        model: Is moved.
        x: The training data.
        infer: The q of the E-step, for some of the data.

    Reference: Biernacki, Celeux and Govaert, 2003, https://doi.org/10.1016/S0167-9473(02)00163-9
    """

    model: ExactModel
    x: Float[Tensor, "N D"]
    infer: Callable[[Tensor], Distribution]

    def run(self, starts: Sequence[Callable[[], object]], num_components: int) -> None:
        """Bring the model to where the best start has come to.

        Args:
            starts: Each sets the parameters of the model.
            num_components: C, by which an iteration takes longer.

        Raises:
            NumericsError: No start has a maximum of its M-step.
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
        if one.failure or one.stands:
            return one
        further = self._tried(lambda: self.model.load_state_dict(one.state), iterations)
        return one if further.failure else further

    def _tried(self, begin: Callable[[], object], iterations: int) -> "_Tried":
        try:
            begin()
            objective, stands = self._climb(iterations)
        except NumericsError as error:
            return _Tried(-math.inf, failure=error)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return _Tried(objective, state, stands)

    def _climb(self, iterations: int) -> tuple[float, bool]:
        """The objective after so many iterations, and whether it stood before."""
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
    """Where a start has come to, or why it came to nothing."""

    objective: float
    state: dict[str, Tensor] = field(default_factory=dict)
    stands: bool = False
    failure: NumericsError | None = None

"""A monitor of the objective of exact EM steps."""

from collections.abc import Callable

from vi.errors import NumericsError
from vi.models.exact import ExactModel
from vi.models.statistics import Statistics
from vi.schemes.ledger import Ledger, Phase

_ROUNDING = 1e-9  # a smaller relative fall of the objective counts as rounding


class ObjectiveMonitor:
    """Records F(q, theta) and F(q, theta) + log p(theta) after every half step.

    The sum is the objective of EM. A fall of it beyond rounding means an error in the model, or
    data that changed between epochs, and is reported at once.

    Args:
        monotone: Whether the objective may never fall.
    """

    def __init__(self, *, monotone: bool = True) -> None:
        self.monotone = monotone
        self.half_steps = 0
        self.free_energy: float | None = None
        self.objective: float | None = None

    def record(
        self, phase: Phase, model: ExactModel, statistics: Statistics, ledger: Ledger | None
    ) -> float:
        """Evaluate and check the objective after a half step; credit the gain of F to the ledger.

        Args:
            phase: The phase of the half step.
            model: A model with an exact E-step.
            statistics: The sufficient statistics of all data.
            ledger: Receives the gain of F in nats per datum; None records nothing.

        Returns:
            The objective per datum, in nats.

        Raises:
            NumericsError: The objective fell by more than rounding, or is not finite.
        """
        count = float(statistics["count"])
        free_energy = float(model.free_energy(statistics))
        objective = free_energy + float(model.log_prior())
        self.half_steps += 1
        self._watch(phase, objective, count, lambda: model.rounding(statistics))
        if ledger is not None and self.free_energy is not None:
            ledger.add(phase, (free_energy - self.free_energy) / count)
        self.free_energy, self.objective = free_energy, objective
        return objective / count

    def _watch(
        self,
        phase: Phase,
        objective: float,
        count: float,
        rounding: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Refuse an objective that is not finite, or that fell by more than rounding."""
        before = self.objective
        where = f"in {phase.upper()}-step {(self.half_steps + 1) // 2}"
        if objective - objective != 0:
            raise NumericsError(
                f"the objective became {objective} {where}",
                hint="covariance.prior_count=1 keeps covariances invertible",
            )
        if before is None or not self.monotone:
            return
        fall = before - objective
        if fall > _ROUNDING * max(abs(before), abs(objective)) and fall > rounding():
            raise NumericsError(
                f"the objective fell from {before / count:.10g} to {objective / count:.10g} nats "
                f"per datum {where}",
                hint="data and batches must be the same in every epoch; else please report it",
            )

    def state_dict(self) -> dict[str, float | None]:
        """Return the number of half steps and the last values, in nats."""
        names = ("half_steps", "free_energy", "objective")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Restore what ``state_dict`` returned."""
        vars(self).update(state)

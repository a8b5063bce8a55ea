"""The ledger: how many nats E-steps, M-steps and joint steps gain."""

from collections.abc import Callable
from typing import Any, Literal

Phase = Literal["e", "m", "joint"]


class Ledger:
    """Credits each phase with the nats per datum that it gains, so that the gains add up.

    The gain of a phase is the change of the ELBO of a fixed set of data, under common noise, from
    the moment the phase is entered until the next one is. At fixed theta the gain of an E-step is
    the decrease of KL(q(z|x) || p(z|x)).

    Args:
        measure: Returns the current ELBO of the fixed data, in nats per datum.

    >>> elbo = iter([-9.0, -7.0, -6.5])
    >>> ledger = Ledger(lambda: next(elbo))
    >>> ledger.enter("e"); ledger.enter("m"); ledger.close()
    {'e': 2.0, 'm': 0.5, 'joint': 0.0}
    """

    def __init__(self, measure: Callable[[], float]) -> None:
        self.measure = measure
        self.phase: Phase | None = None
        self.level: float | None = None
        self.won = _nothing()

    def enter(self, phase: Phase) -> None:
        """Start a phase; the one before it, if another, is measured and credited."""
        if phase == self.phase:
            return
        self._settle()
        self.phase = phase

    def add(self, phase: Phase, nats: float) -> None:
        """Credit a phase with a known gain, in nats per datum, without a measurement."""
        self.won[phase] += nats

    def close(self) -> dict[Phase, float]:
        """Return the gain of every phase since the last call, in nats per datum, and reset it."""
        if self.phase is not None:
            self._settle()
        won, self.won = self.won, _nothing()
        return won

    def state_dict(self) -> dict[str, Any]:
        """Return the present phase, the ELBO at its start, and the gains so far."""
        return {"phase": self.phase, "level": self.level, "won": dict(self.won)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.phase, self.level, self.won = state["phase"], state["level"], dict(state["won"])

    def _settle(self) -> None:
        """Measure the ELBO and credit the present phase with its change."""
        level = self.measure()
        if self.phase is not None and self.level is not None:
            self.won[self.phase] += level - self.level
        self.level = level


def _nothing() -> dict[Phase, float]:
    return {"e": 0.0, "m": 0.0, "joint": 0.0}

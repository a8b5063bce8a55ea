"""Who won how much: E-steps, M-steps, or both at once."""

from collections.abc import Callable
from typing import Any, Literal

Phase = Literal["e", "m", "joint"]


class Ledger:
    """Keeps account of the nats per datum that each phase wins, so that they add up.

    A phase wins what the ELBO of a fixed set of data gains, under common noise, from the moment it
    is entered until the next one is. At fixed theta the gain of an E-step is the fall of
    KL(q(z|x) || p(z|x)).

    Args:
        measure: The ELBO of the fixed data now, in nats per datum.

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
        """The steps that follow are of this phase."""
        if phase == self.phase:
            return
        self._settle()
        self.phase = phase

    def add(self, phase: Phase, nats: float) -> None:
        """A phase that knows what it won; no measurement is made."""
        self.won[phase] += nats

    def close(self) -> dict[Phase, float]:
        """What every phase won since the last call."""
        if self.phase is not None:
            self._settle()
        won, self.won = self.won, _nothing()
        return won

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"phase": self.phase, "level": self.level, "won": dict(self.won)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.phase, self.level, self.won = state["phase"], state["level"], dict(state["won"])

    def _settle(self) -> None:
        level = self.measure()
        if self.phase is not None and self.level is not None:
            self.won[self.phase] += level - self.level
        self.level = level


def _nothing() -> dict[Phase, float]:
    return {"e": 0.0, "m": 0.0, "joint": 0.0}

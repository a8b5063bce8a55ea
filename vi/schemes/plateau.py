"""When has a noisy number stopped rising?"""

from torch import Tensor


class Plateau:
    """Compares the mean of every window of values with that of the window before.

    Args:
        window: Values in a window.
        limit: After so many values it has stopped, whatever they are.

    >>> import torch
    >>> plateau = Plateau(window=1, limit=100)
    >>> [plateau.stopped(torch.tensor(v)) for v in (-3.0, -2.0, -2.5)]
    [False, False, True]
    """

    def __init__(self, window: int, limit: int) -> None:
        self.window = window
        self.limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self.seen = 0
        self.total: Tensor | float = 0.0
        self.before = float("-inf")

    def stopped(self, value: Tensor) -> bool:
        """Take one more value; only at the end of a window is it read."""
        self.seen += 1
        self.total = self.total + value.detach()
        if self.seen >= self.limit:
            return True
        if self.seen % self.window:
            return False
        mean, self.total = float(self.total) / self.window, 0.0
        rose, self.before = mean > self.before, mean
        return not rose

    def state_dict(self) -> dict[str, float]:
        """Plain values."""
        return {"seen": self.seen, "total": float(self.total), "before": self.before}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from ``state_dict``."""
        self.seen = int(state["seen"])
        self.total, self.before = state["total"], state["before"]

"""A test of whether a noisy sequence has stopped rising."""

from torch import Tensor


class Plateau:
    """Compares the mean of every window of values with the mean of the window before.

    The sum is kept on the device of the values and read only at the end of a window, so that most
    calls do not wait for the device.

    Args:
        window: Number of values in a window.
        limit: After this many values the sequence counts as stopped, whatever they are.

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
        """Discard all values."""
        self.seen = 0
        self.total: Tensor | float = 0.0
        self.before = float("-inf")

    def stopped(self, value: Tensor) -> bool:
        """Add a value, a scalar tensor; return whether the sequence has stopped rising."""
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
        """Return the count, the sum of the present window, and the mean of the one before."""
        return {"seen": self.seen, "total": float(self.total), "before": self.before}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore what ``state_dict`` returned."""
        self.seen = int(state["seen"])
        self.total, self.before = state["total"], state["before"]

"""What a trainer is expected to be told, spelled once."""

from typing import Literal

from vi.errors import ConfigurationError
from vi.options import Option


class TrainerSettings(Option):
    """How long, how fast and where.

    Args:
        max_epochs: Passes over the training data.
        max_steps: Optimiser steps after which training ends; None for no limit.
        batch_size: Data in one step; the last batch of an epoch may be smaller.
        drop_last: Leave out the last batch of an epoch where it is smaller.
        device: auto takes the accelerator if there is one.
        limit_train_batches: At most so many batches of an epoch, or this fraction of them.
        check_val_every_n_epochs: How often the validation data are evaluated.
        log_every_n_steps: How often the mean of the training terms is logged.
        steps_per_call: Optimiser steps inside one call of Lightning, which costs about a
            millisecond; cut at every logging step and at the end of an epoch.
        progress_bar: Show progress and the closing table.
    """

    def __init__(
        self,
        max_epochs: int = 20,
        max_steps: int | None = None,
        batch_size: int = 128,
        *,
        drop_last: bool = False,
        device: Literal["auto", "cpu", "gpu", "mps"] = "auto",
        limit_train_batches: int | float | None = None,
        check_val_every_n_epochs: int = 1,
        log_every_n_steps: int = 50,
        steps_per_call: int = 50,
        progress_bar: bool = True,
    ) -> None:
        self.max_epochs = _positive("max_epochs", max_epochs)
        self.max_steps = max_steps if max_steps is None else _positive("max_steps", max_steps)
        self.batch_size = _positive("batch_size", batch_size)
        self.drop_last = drop_last
        self.device = device
        self.limit_train_batches = limit_train_batches
        self.check_val_every_n_epochs = _positive(
            "check_val_every_n_epochs", check_val_every_n_epochs
        )
        self.log_every_n_steps = _positive("log_every_n_steps", log_every_n_steps)
        self.steps_per_call = _positive("steps_per_call", steps_per_call)
        self.progress_bar = progress_bar
        if limit_train_batches is not None and not limit_train_batches > 0:
            _positive("limit_train_batches", 0)

    def steps_per_epoch(self, n: int) -> int:
        """Optimiser steps in one pass over n data."""
        full, rest = divmod(n, self.batch_size)
        steps = full + (rest > 0 and not self.drop_last)
        limit = self.limit_train_batches
        if limit is None:
            return steps
        return min(steps, limit) if isinstance(limit, int) else max(1, int(steps * min(limit, 1)))


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigurationError(
            f"trainer.{name} must be at least 1, got {value}", hint="raise it"
        )
    return value

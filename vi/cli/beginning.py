"""The moment before the first step."""

from collections.abc import Callable

import lightning.pytorch as pl

from vi.cli import interrupts


class Beginning(pl.Callback):
    """Calls a function before the first step, and says so to who handles signals.

    Args:
        begin: Called by the first process.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See ``Callback``."""
        if trainer.is_global_zero:
            self.begin()
        interrupts.begun()

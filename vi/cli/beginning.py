"""The moment before the first step, and the one after the last."""

from collections.abc import Callable

import lightning.pytorch as pl

from vi.cli import interrupts


class Beginning(pl.Callback):
    """Calls a function before the first step, and says where the run is to who handles signals.

    Args:
        begin: Called by the first process.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See ``Callback``."""
        if trainer.is_global_zero:
            self.begin()
        interrupts.enter("training")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See ``Callback``."""
        interrupts.enter("end")

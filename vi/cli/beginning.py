"""Callback at the first training step."""

from collections.abc import Callable

import lightning.pytorch as pl

from vi.cli import interrupts


class Beginning(pl.Callback):
    """Callback that calls a function before the first step, and tells ``interrupts`` of the start.

    Args:
        begin: Function that the first process calls.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call the function in the first process; later signals are handled as errors."""
        if trainer.is_global_zero:
            self.begin()
        interrupts.begun()

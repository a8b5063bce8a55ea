"""A progress bar in nats."""

import time

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vi.training.module import TrainingModule

_SHOWN = ("elbo", "kl", "reconstruction")
_WIDE = 120  # columns of a terminal that has room for a bar beside the numbers


class ProgressBar(LightningProgressBar):
    """Epochs, and ELBO, KL and reconstruction in nats per datum, for training and validation.

    On a terminal it is one line that moves; elsewhere a plain line every few seconds.

    Args:
        interval: Seconds between plain lines.
    """

    def __init__(self, interval: float = 5.0) -> None:
        super().__init__()
        self.interval = interval
        self.console = Console(highlight=False)
        epochs, numbers = MofNCompleteColumn(), TextColumn("{task.fields[numbers]}")
        columns = [epochs, numbers]
        if self.console.width >= _WIDE:
            bar = BarColumn(bar_width=20)
            columns = [TextColumn("epoch"), epochs, bar, numbers, TimeRemainingColumn()]
        self.bar = Progress(*columns, console=self.console)
        self.last_line = 0.0

    def disable(self) -> None:
        """Lightning calls this on processes that should not print."""
        self.console.quiet = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Show an empty bar."""
        self.task = self.bar.add_task("", total=trainer.max_epochs, numbers="")
        if self.console.is_terminal:
            self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: TrainingModule, *_: object
    ) -> None:
        """Refresh the numbers within long epochs."""
        self._show(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=trainer.current_epoch + 1)
        self._show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Leave the last numbers standing."""
        self.last_line = 0.0
        self._show(trainer, pl_module)
        self.bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()

    def _show(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if self.console.is_terminal:
            self.bar.update(self.task, numbers=_numbers(module.book.latest))
        elif time.monotonic() - self.last_line >= self.interval and module.book.latest:
            self.last_line = time.monotonic()
            epochs = trainer.max_epochs or 0
            epoch = f"epoch {min(trainer.current_epoch + 1, epochs)}/{epochs}"
            self.console.print(f"{epoch}  {_numbers(module.book.latest)}", soft_wrap=True)


def _numbers(latest: dict[str, float]) -> str:
    """ELBO, KL and reconstruction of the last logging step and the last validation."""
    parts = [f"{k} {latest[f'train/{k}']:.2f}" for k in _SHOWN if f"train/{k}" in latest]
    if "val/elbo" in latest:
        parts.append(f"| val elbo {latest['val/elbo']:.2f}")
    return "  ".join(parts) + " nats" if parts else ""

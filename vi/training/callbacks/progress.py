"""Progress bar with the bound and its terms in nats."""

import math
import sys
import time

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from rich.console import Console
from rich.live import Live
from rich.text import Text

from vi.training.module import TrainingModule
from vi.training.progress_bar import clock, in_notebook

_TERMS = {"elbo": "elbo", "kl": "kl", "reconstruction": "rec"}
_BAR, _LEAST = 20, 5  # largest number of characters of a bar; with fewer than 5 there is none
_INTERVAL = 0.25  # seconds between two updates of the line


class ProgressBar(LightningProgressBar):
    """Show epochs, remaining time, and ELBO, KL and reconstruction in nats per datum.

    A terminal or a notebook shows one line that is updated in place and fits its width; other
    outputs receive a plain line every few seconds.

    Args:
        interval: Seconds between plain lines.
    """

    def __init__(self, interval: float = 5.0) -> None:
        super().__init__()
        self.interval = interval
        notebook = in_notebook()  # a carriage return works there, so no widget is needed
        moves = True if notebook or sys.stdout.isatty() else None
        self.console = Console(
            highlight=False, force_terminal=moves, force_jupyter=False if notebook else None
        )
        self.live: Live | None = None
        self.last_line = -math.inf

    def disable(self) -> None:
        """Print nothing; Lightning calls this in all processes but the first."""
        self.console.quiet = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Show an empty bar."""
        self.started, self.before = time.monotonic(), reached(trainer, pl_module)
        self.of_before = dict(pl_module.book.latest)  # numbers of the run that is resumed
        if self.console.is_terminal:
            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: TrainingModule, *_: object
    ) -> None:
        """Refresh the numbers within long epochs."""
        self._show(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Refresh the numbers after the validation of an epoch."""
        self._show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Show the final numbers, and end the line."""
        self.last_line = -math.inf
        self._show(trainer, pl_module)
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Restore the terminal."""
        self._stop()

    def _stop(self) -> None:
        """End the updated line, if there is one."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _show(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Update or print the line, unless the last one is too recent."""
        now = time.monotonic()
        if now - self.last_line < (self.interval if self.live is None else _INTERVAL):
            return
        if self.live is not None:
            self.last_line = now
            self.live.update(Text(self._line(trainer, module, now)), refresh=True)
        elif module.book.latest != self.of_before:
            self.last_line = now
            self.console.print(
                f"{_epoch(trainer)}  {_numbers(module.book.latest)}", soft_wrap=True
            )

    def _line(self, trainer: pl.Trainer, module: TrainingModule, now: float) -> str:
        """Return the line; the remaining time is extrapolated from the steps of this process."""
        done = reached(trainer, module)
        share = (done - self.before) / (1 - self.before) if self.before < 1 else 1.0
        left = (now - self.started) * (1 - share) / share if share > 0 else None
        return line(_epoch(trainer), done, module.book.latest, left, self.console.width - 1)


def reached(trainer: pl.Trainer, module: TrainingModule) -> float:
    """Return the completed fraction of training, from 0 to 1, by the limit that is nearest.

    Limits are ``max_epochs``, ``max_steps`` and ``max_evaluations``.
    """
    settings, book = module.settings, module.book
    steps = (trainer.max_epochs or 1) * module.steps_per_epoch()
    parts = [trainer.global_step / min(steps, settings.max_steps or steps)]
    if settings.max_evaluations is not None:
        spent = book.evaluations.encoder + book.evaluations.decoder
        parts.append(spent / (settings.max_evaluations * len(module.data.train)))
    return min(1.0, max(parts))


def line(epoch: str, done: float, latest: dict[str, float], left: float | None, width: int) -> str:
    """Return one line of this width; terms that do not fit are left out, the last one first.

    Args:
        epoch: Text of the present epoch.
        done: Completed fraction, from 0 to 1.
        latest: Latest numbers by name, in nats per datum.
        left: Remaining seconds; None if unknown.
        width: Width in characters.

    >>> line("epoch 3/9", 0.25, {"train/elbo": -23.456, "train/kl": 5.2}, 75.0, 52)
    'epoch 3/9 ##---- 0:01:15 left  elbo -23.46  kl 5.200'
    """
    time_ = "" if left is None else f"{clock(left)} left"
    terms = [(k, short) for k, short in _TERMS.items() if f"train/{k}" in latest]
    parts = [f"{short} {_shortened(latest[f'train/{k}'])}" for k, short in terms]
    if "val/elbo" in latest:
        parts.insert(1, f"val {_shortened(latest['val/elbo'])}")
    head, fixed = f"{epoch} ", f" {time_}"
    while parts and len(head) + len(fixed) + sum(2 + len(p) for p in parts) > width:
        parts.pop()
    told = fixed + "".join(f"  {part}" for part in parts)
    room = min(_BAR, width - len(head) - len(told))
    full = round(done * room) if room >= _LEAST else 0
    bar = "#" * full + "-" * (room - full) if room >= _LEAST else ""
    return f"{head}{bar}{told}"[:width].ljust(width)


def _shortened(value: float) -> str:
    """Return a number with about four digits; large ones keep all digits before the point.

    >>> _shortened(-23.456), _shortened(-12345.6), _shortened(0.06), _shortened(1.2e12)
    ('-23.46', '-12346', '0.060', '1.20e+12')
    """
    if abs(value) >= 1e7:
        return f"{value:.2e}"
    digits = max(0, 3 - len(str(int(abs(value)))) + (abs(value) < 10))
    return f"{value:.{min(3, max(digits, 2 if abs(value) < 1000 else 0))}f}"


def _epoch(trainer: pl.Trainer) -> str:
    """Return the present epoch and the number of epochs."""
    epochs = trainer.max_epochs or 0
    return f"epoch {min(trainer.current_epoch + 1, epochs)}/{epochs}"


def _numbers(latest: dict[str, float]) -> str:
    """Return ELBO, KL and reconstruction of the last logging step and the last validation."""
    parts = [f"{k} {latest[f'train/{k}']:.2f}" for k in _TERMS if f"train/{k}" in latest]
    if "val/elbo" in latest:
        parts.append(f"| val elbo {latest['val/elbo']:.2f}")
    return "  ".join(parts) + " nats" if parts else ""

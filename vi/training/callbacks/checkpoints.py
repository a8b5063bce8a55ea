"""best.ckpt by the validation bound, and last.ckpt at the end of every epoch."""

import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from vi.files.atomic import write_atomically
from vi.files.checkpoint_file import read_checkpoint
from vi.training.module import TrainingModule
from vi.training.resuming.checkpoint_files import CheckpointFiles


class Best(Checkpoint):
    """Keeps the weights whose ``val/bound`` was highest.

    Its state names no file: the place is that of the run, wherever it was moved.

    Args:
        path: Of the file.
        other: The same of the run that this one goes on from, where its folder is another.
    """

    forms = ({"score": 0.0, "step": 0}, {"score": None, "step": None})
    """Of its state."""

    def __init__(self, path: Path, other: Path | None = None) -> None:
        self.path = path
        self.other = other
        self.score: float | None = None
        self.step: int | None = 0
        self.is_lost = False  # what the run had kept before

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the place of the first process: the others may have made up names of their own."""
        self.path = trainer.strategy.broadcast(self.path)

    def state_dict(self) -> dict[str, Any]:
        """The bound of the best weights, and after how many steps it was."""
        return {"score": self.score, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there, if the weights that were the best then are there.

        A run that was killed may have written the next ones already; it will do so again.
        """
        score, step = state_dict["score"], state_dict["step"]
        self.is_lost = score is not None
        places = [path for path in (self.path, self.other) if path and path.is_file()]
        for path in places if self.is_lost else ():
            if step in (None, read_checkpoint(path).get("global_step")):
                self.score, self.step, self.is_lost = score, step, False
                if path != self.path:
                    write_atomically(self.path, path.read_bytes())
                return

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Say what is not there."""
        if self.is_lost and not self.path.is_file():
            warnings.warn(
                f"{self.path} is missing: the best weights are those of the rest of the run",
                stacklevel=2,
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Keep them, if they are better than any before."""
        if pl_module.book.validated != trainer.global_step:
            return
        score = pl_module.book.latest["val/bound"]
        if self.score is None or score > self.score:
            self.score, self.step = score, trainer.global_step
            trainer.save_checkpoint(self.path, storage_options=CheckpointFiles.WITH_THE_NEXT)


class Last(Checkpoint):
    """Keeps where the run stands.

    Args:
        path: Of the file.
        files: Of the run.
    """

    def __init__(self, path: Path, files: CheckpointFiles) -> None:
        self.path = path
        self.files = files

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Write the file, soon."""
        trainer.save_checkpoint(self.path, storage_options=CheckpointFiles.LATER)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Write it now: it tells why the run has ended."""
        trainer.save_checkpoint(self.path)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Write what has waited; nothing of what the error left behind."""
        self.files.flush()

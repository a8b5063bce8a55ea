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
    """Save the weights with the highest ``val/bound``.

    The state contains no path, so that a run may be moved.

    Args:
        path: Path of the file.
        other: Path of that file in the run that this one continues, if its folder differs.
    """

    forms = ({"score": 0.0, "step": 0}, {"score": None, "step": None})
    """Possible forms of the state, against which a checkpoint is checked."""

    def __init__(self, path: Path, other: Path | None = None) -> None:
        self.path = path
        self.other = other
        self.score: float | None = None
        self.step: int | None = 0
        self.is_lost = False  # whether the best weights of the continued run are missing

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Use the path of the first process; other processes may have chosen another name."""
        self.path = trainer.strategy.broadcast(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the bound of the best weights, and their optimiser step."""
        return {"score": self.score, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from this state if a file contains the best weights of that step.

        A killed run may already have written later weights; the resumed run writes them again.
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
        """Warn if the best weights of the continued run are missing."""
        if self.is_lost and not self.path.is_file():
            warnings.warn(
                f"{self.path} is missing: the best weights are chosen from the rest of the run",
                stacklevel=2,
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Save the weights if this epoch was validated and the bound is the highest so far."""
        if pl_module.book.validated != trainer.global_step:
            return
        score = pl_module.book.latest["val/bound"]
        if self.score is None or score > self.score:
            self.score, self.step = score, trainer.global_step
            trainer.save_checkpoint(self.path, storage_options=CheckpointFiles.WITH_THE_NEXT)


class Last(Checkpoint):
    """Save the state of the run at the end of each epoch, from which it can be resumed.

    Args:
        path: Path of the file.
        files: Writer of the checkpoints of the run.
    """

    def __init__(self, path: Path, files: CheckpointFiles) -> None:
        self.path = path
        self.files = files

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Queue the file for writing."""
        trainer.save_checkpoint(self.path, storage_options=CheckpointFiles.LATER)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Write the file at once; it contains the reason why the run ended."""
        trainer.save_checkpoint(self.path)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Write queued files; the state after the error is not saved."""
        self.files.flush()

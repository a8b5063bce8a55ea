"""Stop when the validation bound has stopped rising."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping

from vi.errors import require_positive
from vi.training.module import TrainingModule


class EarlyStopping(LightningEarlyStopping):
    """Stop after ``patience`` validations without a rise of ``val/bound``.

    Validations during the warm-up of the bound are not counted.

    Args:
        patience: Number of validations to wait; None disables early stopping.
        min_delta: Smallest rise that counts, in nats per datum.
    """

    def __init__(self, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None:
            require_positive("patience", patience)
        super().__init__(
            "val/bound",
            min_delta,
            patience or 0,
            mode="max",
            strict=False,
            check_on_train_epoch_end=False,
        )
        self.enabled = patience is not None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Count this validation, if the warm-up is over."""
        if self.enabled and trainer.global_step > pl_module.bound.warmup_steps:
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count of a checkpoint, with the patience of this run."""
        super().load_state_dict({**state_dict, "patience": self.patience})

"""Stop when the validation bound has stopped rising."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping

from vi.errors import require_positive
from vi.training.module import TrainingModule


class EarlyStopping(LightningEarlyStopping):
    """Stops after ``patience`` validations without a rise of ``val/bound``.

    It begins to count only when the warm-up of the bound has ended.

    Args:
        patience: Validations to wait; None never stops.
        min_delta: The least rise that counts, in nats per datum.
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
        """Go on counting, with the patience of this run."""
        super().load_state_dict({**state_dict, "patience": self.patience})

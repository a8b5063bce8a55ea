"""What the model makes, as pictures in TensorBoard."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from vi.training.pictures import pictures

_SIDE = 160  # pixels: encoding larger images costs more than drawing them


class Pictures(pl.Callback):
    """Sends samples, reconstructions and, for z in the plane, the latent plane to TensorBoard.

    The tags are ``pictures/samples``, ``pictures/reconstructions`` and ``pictures/latent_plane``;
    the data are validation data, or test data where there are none. Nothing random is disturbed.

    Args:
        every_n_epochs: How often; and always when training ends.
    """

    def __init__(self, every_n_epochs: int = 10) -> None:
        self.every_n_epochs = every_n_epochs
        self.last_step = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, if it is time."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._send(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw what came out."""
        if self.last_step != trainer.global_step:
            self._send(trainer, pl_module)

    def _send(self, trainer: pl.Trainer, module: Any) -> None:
        loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if not (loggers and trainer.is_global_zero):
            return
        self.last_step = trainer.global_step
        split = module.data.test if module.data.val is None else module.data.val
        shown = pictures(module.model, split, module.shape, module.seed, _SIDE)
        for name, picture in shown.items():
            for logger in loggers:
                logger.experiment.add_image(
                    f"pictures/{name}", picture.pixels(), trainer.global_step
                )

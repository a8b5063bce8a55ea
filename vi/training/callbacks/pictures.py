"""What the model makes, as pictures in TensorBoard."""

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from vi.training.module import TrainingModule
from vi.training.pictures import figures, grids


class Pictures(pl.Callback):
    """Sends samples, reconstructions and, for z in the plane, the latent plane to TensorBoard.

    The tags are ``pictures/samples``, ``pictures/reconstructions`` and ``pictures/latent_plane``;
    the data are validation data, or test data where there are none. Nothing random is disturbed.
    Pictures of tables are drawn once, when training ends.

    Args:
        every_n_epochs: How often; and always when training ends.
    """

    def __init__(self, every_n_epochs: int = 10) -> None:
        self.every_n_epochs = every_n_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Draw, if it is time."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0 and len(pl_module.shape) == 3:
            self._send(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Draw what came out."""
        if trainer.current_epoch % self.every_n_epochs or len(pl_module.shape) != 3:
            self._send(trainer, pl_module)

    def _send(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        split = module.data.test if module.data.val is None else module.data.val
        arguments = (module.model, split, module.shape, module.seed)
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                continue
            if len(module.shape) != 3:
                for name, figure in figures(*arguments).items():
                    logger.experiment.add_figure(f"pictures/{name}", figure, trainer.global_step)
                continue
            for name, grid in grids(*arguments).items():
                logger.experiment.add_image(f"pictures/{name}", grid, trainer.global_step)

"""Pictures of the model in TensorBoard, and of the curves of training as a file."""

from contextlib import suppress
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from vi.errors import ViError, require_positive
from vi.figures.curves import curves_figure
from vi.figures.grid import is_image
from vi.figures.pictures import figures, grids
from vi.figures.save import or_warned, save_figure
from vi.training.loggers.csv_curves import CSVCurves
from vi.training.module import TrainingModule


class Pictures(pl.Callback):
    """Send samples, reconstructions and, for z in the plane, the latent plane to TensorBoard.

    The tags are ``val_pictures/samples``, ``val_pictures/reconstructions`` and
    ``val_pictures/latent_plane``; the data are validation data, or test data without a
    validation split. The random state is restored. Pictures of tables are drawn once, when
    training ends.

    When training ends, also by an error or a signal, ``curves.png`` in the run directory shows
    its curves from the first step on; they are read from the CSV logger.

    Args:
        every_n_epochs: Number of epochs between pictures; the end of training always has pictures.
    """

    def __init__(self, every_n_epochs: int = 10) -> None:
        require_positive("every_n_epochs", every_n_epochs)
        self.every_n_epochs = every_n_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Draw pictures of an image model every ``every_n_epochs`` epochs."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0 and is_image(pl_module.shape):
            self._send(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Draw the pictures of the final model, and the curves."""
        if trainer.current_epoch % self.every_n_epochs or not is_image(pl_module.shape):
            self._send(trainer, pl_module)
        draw_curves(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Draw the curves up to the error; errors of vi in drawing do not replace it."""
        with suppress(ViError):
            draw_curves(trainer, pl_module)

    def _send(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Send the pictures to TensorBoard; a failure is a warning."""
        with or_warned("the pictures"):
            self._draw(trainer, module)

    def _draw(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Draw grids of images, or figures of tables, on every TensorBoard logger."""
        split = module.data.test if module.data.val is None else module.data.val
        arguments = (module.inferred, split, module.shape, module.seed)
        boards = [one.experiment for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if is_image(module.shape):
            for name, grid in grids(*arguments).items() if boards else ():
                for board in boards:
                    board.add_image(f"val_pictures/{name}", grid, trainer.global_step)
        else:
            for board in boards:  # a figure is closed by being sent, so each board has its own
                for name, figure in figures(*arguments, module.data.facts).items():
                    board.add_figure(f"val_pictures/{name}", figure, trainer.global_step)


def draw_curves(trainer: pl.Trainer, module: TrainingModule) -> None:
    """Write ``curves.png``, if a CSV logger has any curves."""
    logger = next((one for one in trainer.loggers if isinstance(one, CSVCurves)), None)
    with or_warned("curves"):
        rows = [] if logger is None else logger.curves()
        if rows:
            bound = None if module.bound.is_elbo else module.bound.title
            by_gradient = any(optimizer.param_groups for optimizer in trainer.optimizers)
            figure = curves_figure(rows, bound, iterations=not by_gradient)
            save_figure(figure, Path(trainer.default_root_dir) / "curves.png")

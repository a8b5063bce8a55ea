"""TensorBoard's view of a finished run: test results and latents."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.nn import functional

from vi.distributions.datum_noise import datum_noise
from vi.evaluation.columns import terms
from vi.figures.grid import is_image
from vi.figures.projector import save_projector
from vi.figures.save import or_warned
from vi.figures.shown import POINTS, undisturbed
from vi.training.loggers.tensorboard import TensorBoard
from vi.training.module import TrainingModule

_NUMBERS = 10**6  # largest number of coordinates of all points


def show_results(
    trainer: pl.Trainer, module: TrainingModule, metrics: Mapping[str, Any], *, drawn: bool
) -> None:
    """Send the results on the test data to TensorBoard, and latents to its projector.

    Args:
        trainer: Trainer of the finished run.
        module: The module with the weights that are kept.
        metrics: The numbers of metrics.json.
        drawn: Whether the run draws pictures; if so, latents are saved.
    """
    found = {
        name: value
        for name, value in metrics.items()
        if name.startswith("test/") and isinstance(value, float) and not name.endswith("_se")
    }
    for board in _boards(trainer.loggers):
        board.log_metrics(found, trainer.global_step)
        board.save()
        if drawn:
            with or_warned("the points of the projector"):
                _project(module, Path(board.log_dir))


def _boards(loggers: Iterable[Logger]) -> list[TensorBoard]:
    """Return the TensorBoard loggers."""
    return [logger for logger in loggers if isinstance(logger, TensorBoard)]


def _project(module: TrainingModule, folder: Path) -> None:
    """Save E_q[z] of validation data (or test data) for the projector, with their labels.

    A one-hot context becomes the class. The terms of the bound use noise keyed by datum.
    """
    model, data = module.inferred, module.data
    split = (data.test if data.val is None else data.val).frozen(module.seed)
    index = split.spread(min(len(split), POINTS))
    batch = split.batch(index)
    with undisturbed(model, module.seed), datum_noise(module.seed, index):
        points = model.encode(batch.x, **batch.given).flatten(1)
        values = terms(module.bound(model, batch.x, **batch.given))
    columns = _labels(batch.given.get("context")) | {"index": index} | values
    images = batch.x.view(-1, *module.shape) if is_image(module.shape) else None
    kept = slice(None, None, -(-points.numel() // _NUMBERS))
    columns = {name: column[kept] for name, column in columns.items()}
    save_projector(points[kept], columns, None if images is None else images[kept], folder)


def _labels(context: Tensor | None) -> dict[str, Tensor]:
    """Return the class of a one-hot context, or one column for each entry of another context."""
    if context is None:
        return {}
    if torch.equal(context, functional.one_hot(context.argmax(-1), context.shape[-1]).to(context)):
        return {"context": context.argmax(-1)}
    return {f"context_{d}": column for d, column in enumerate(context.unbind(-1))}

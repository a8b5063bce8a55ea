"""What TensorBoard shows of a run that has ended: its results, and its latents."""

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

_NUMBERS = 10**6  # of all points together


def show_results(
    trainer: pl.Trainer, module: TrainingModule, metrics: Mapping[str, Any], *, drawn: bool
) -> None:
    """Send the numbers on the test data to TensorBoard, and latents to its projector.

    Args:
        trainer: Of the run that has ended.
        module: With the weights that are kept.
        metrics: As in metrics.json.
        drawn: Whether there are to be pictures.
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
    return [logger for logger in loggers if isinstance(logger, TensorBoard)]


def _project(module: TrainingModule, folder: Path) -> None:
    """E_q[z] of validation data, or of test data where there are none, and what is known of each.

    The context is the class where it is one-hot; the terms of the bound come from noise that is
    keyed by datum.
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
    if context is None:
        return {}
    if torch.equal(context, functional.one_hot(context.argmax(-1), context.shape[-1]).to(context)):
        return {"context": context.argmax(-1)}
    return {f"context_{d}": column for d, column in enumerate(context.unbind(-1))}

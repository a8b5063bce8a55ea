"""Results of a run: numbers, files, pictures, and a closing table."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import torch

import vi
from vi.figures.pictures import save_pictures
from vi.files.atomic import write_atomically
from vi.files.findings import write_report
from vi.files.model_files import finite
from vi.models.base import LatentVariableModel
from vi.options import Configurable
from vi.startup import startup
from vi.training.module import TrainingModule
from vi.training.results.report import print_report

__all__ = ["FitResult"]


@dataclass(frozen=True)
class FitResult:
    """A trained model with its measurements and its folder.

    Args:
        model: The model with the weights that are kept, in evaluation mode.
        metrics: The flat numbers and facts of ``metrics.json``.
        run_dir: Folder of the run.
    """

    model: LatentVariableModel
    metrics: dict[str, Any]
    run_dir: Path


def facts_of(trainer: pl.Trainer, module: TrainingModule) -> dict[str, Any]:
    """Return the facts of a finished training for metrics.json: cost, size, device, versions."""
    return {
        "train/seconds": module.book.seconds(),
        "train/steps": trainer.global_step,
        "train/epochs": -(-trainer.global_step // module.steps_per_epoch()),
        "train/parameters": sum(p.numel() for p in module.model.parameters()),
        "seed": module.seed,
        **({"debug": True} if module.settings.debug else {}),
        "device": str(trainer.strategy.root_device),
        "devices": trainer.world_size,
        "versions/vi": vi.__version__,
        "versions/torch": torch.__version__,
        "versions/lightning": lightning.__version__,
        **module.session.report(),
        **startup.facts(),
    }


def write_metrics(metrics: Mapping[str, Any], run_dir: Path) -> None:
    """Write metrics.json atomically."""
    text = json.dumps(finite(metrics), indent=2) + "\n"
    write_atomically(run_dir / "metrics.json", text.encode())


def show(
    module: TrainingModule,
    metrics: dict[str, Any],
    run_dir: Path,
    plugins: Sequence[str],
    *,
    drawn: bool,
    saved: bool,
) -> None:
    """Draw pictures, write report.md, and print the closing table."""
    model, data, shape, seed = module.inferred, module.data, module.shape, module.seed
    pictures = save_pictures(model, data, shape, run_dir, seed) if drawn else []
    of_training = (run_dir / name for name in ("curves.png", "ledger.png", "gaps.png"))
    pictures += [path for path in of_training if path.is_file()]
    write_report(run_dir)
    if module.settings.progress_bar:
        if module.ended_before:
            print(f"nothing to train: the run had ended by {', '.join(module.ended_before)}")
        said = module.book.said
        print_report(metrics, run_dir, pictures, module.bound, plugins, said, saved=saved)


def values_of(part: Any) -> dict[str, Any]:
    """Return the name of a part's class and its arguments, with those of the parts within it."""
    if isinstance(part, functools.partial):  # an optimiser or a schedule
        return {"class": part.func.__name__, **part.keywords}
    values = {
        k: values_of(v) if isinstance(v, Configurable | functools.partial) else v
        for k, v in part.arguments.items()
    }
    return {"class": type(part).__name__, **values}

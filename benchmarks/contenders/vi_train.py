"""``python train.py`` with its default settings, timed from outside call by call."""

import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import (
    BATCH,
    DEVICE,
    EPOCHS,
    HIDDEN,
    LATENT,
    RATE,
    SAMPLES,
    Stopwatch,
    finish,
    train_grey,
)
from _net import weights

from vi.training.module import TrainingModule

steps_per_epoch = len(train_grey()) // BATCH
watch = Stopwatch(steps_per_epoch)
training_step = TrainingModule.training_step


def timed(module: TrainingModule, *arguments: Any) -> None:
    """Several optimiser steps, never beyond the end of an epoch."""
    training_step(module, *arguments)
    watch.reached(module.trainer.global_step)


TrainingModule.training_step = timed
with tempfile.TemporaryDirectory() as folder:
    sys.argv[1:] = [
        "data=fashion_mnist",
        "data.validation_size=0",
        f"hidden=[{HIDDEN},{HIDDEN}]",
        f"latent_dim={LATENT}",
        f"optimizer.lr={RATE}",
        f"trainer.batch_size={BATCH}",
        f"trainer.max_epochs={EPOCHS}",
        "trainer.drop_last=true",
        f"trainer.limit_train_batches={steps_per_epoch}",
        f"trainer={DEVICE}",
        "evaluation.num_samples=1",
        f"hydra.run.dir={folder}/run",
        *sys.argv[1:],
    ]
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root))
    try:
        runpy.run_path(str(root / "train.py"), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    import vi

    model = vi.load(f"{folder}/run")


def log_likelihood(x: np.ndarray) -> float:
    """The library's own."""
    images = torch.from_numpy(x).reshape(-1, *model.data_shape)
    return vi.log_likelihood(model, images, SAMPLES).value.mean().item()


finish(
    watch,
    weights(model.encoder, model.decoder, scale_of_output=2.0),
    log_likelihood,
    "torch",
    "lightning",
)

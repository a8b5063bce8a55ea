"""``python train.py`` with its default settings, timed from outside by a hook on the optimiser."""

import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _common import BATCH, EPOCHS, HIDDEN, LATENT, RATE, SAMPLES, Stopwatch, finish, train_grey
from _net import weights
from torch.optim.optimizer import register_optimizer_step_post_hook

steps_per_epoch = len(train_grey()) // BATCH
watches: dict[object, Stopwatch] = {}  # by optimiser: a rehearsal before the run has its own


def stepped(optimizer: object, *_: object) -> None:
    """Told by torch after every step of every optimiser."""
    watches.setdefault(optimizer, Stopwatch(steps_per_epoch)).step()


register_optimizer_step_post_hook(stepped)
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
        "trainer.device=cpu",
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
watch = max(watches.values(), key=lambda watch: watch.steps)


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

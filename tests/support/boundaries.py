"""Runs of some epochs of fourteen steps, and what is left of them."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.nn.utils import get_total_norm
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.tiny import D, vae
from vi.data.base import DynamicBits, LoadedData, Values
from vi.training.fit import FitResult

N = 270
EPOCH = 14  # steps, of 20 data; the last has 10
CALLS = [1, 7, 50]
STEPS = 62
BEST = 3  # epochs of ``rise_and_fall``
PERIOD, OTHER_PERIOD = 6, 9  # the first divides one end of an epoch, 42
DECAY = 0.8
ASCENT = vi.GradientAscent(num_steps=2, lr=0.1)
MARKS = [
    pytest.mark.usefixtures("few_draws"),
    pytest.mark.filterwarnings("ignore:model/ will not be written"),
]


def bits(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n, D), generator=generator, dtype=torch.uint8)


def grey():
    """Training data whose bits are drawn anew at every visit."""
    levels = torch.randint(0, 256, (N, D), generator=torch.Generator().manual_seed(1))
    return DynamicBits(levels.to(torch.uint8))


def flat(state):
    """All numbers of a state dict, (P,)."""
    return torch.cat([value.detach().flatten().double() for value in state.values()])


def rise_and_fall():
    """The validation bound is best after epoch 3; then the learning rate is too high."""
    return vi.Joint(partial(SGD, lr=0.1), partial(ExponentialLR, gamma=2.0), 1.0)


class Stepwise(pl.Callback):
    """Looks on after every step of the scheme; an implementer writes ``after``."""

    def on_train_start(self, trainer, pl_module):
        step = pl_module.scheme.step

        def watched(*args):
            estimate = step(*args)
            self.after(pl_module)
            return estimate

        pl_module.scheme.step = watched

    def on_train_end(self, trainer, pl_module):
        del pl_module.scheme.step


class Watch(Stepwise):
    """What every step found and left."""

    def __init__(self):
        self.weights, self.evaluations = [], []  # after every step of the scheme
        self.rates, self.norms = [], []  # before every step of an optimiser

    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module)
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(self.before)

    def before(self, optimizer, *_):
        (group,) = optimizer.param_groups
        self.rates.append(group["lr"])
        gradients = [p.grad for p in group["params"] if p.grad is not None]
        self.norms.append(get_total_norm(gradients).item())

    def after(self, module):
        self.weights.append(flat(module.model.state_dict()))
        self.evaluations.append(module.book.evaluations.encoder + module.book.evaluations.decoder)


class Run(NamedTuple):
    """What is left of a run."""

    folder: Path
    result: FitResult
    watch: Watch

    @property
    def rows(self):
        """Of the CSV logger, without the seconds."""
        with (self.folder / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
            return [{k: v for k, v in row.items() if "seconds" not in k} for row in
                    csv.DictReader(file)]  # fmt: skip

    def column(self, name):
        """[(step, number)] of one curve."""
        return [(int(row["step"]), float(row[name])) for row in self.rows if row.get(name)]


def run(folder, net=vae, scheme=None, callbacks=(), given=None, watch=None, **options):
    """A run with a schedule, at most 6 epochs of 14 steps."""
    watch = watch or Watch()
    scheme = scheme or vi.Joint(schedule=partial(ExponentialLR, gamma=DECAY))
    given = given or LoadedData(grey(), Values(bits(13, 2)), Values(bits(9, 3)), (D,))
    defaults = {
        "epochs": 6,
        "batch_size": 20,
        "log_every_n_steps": 10,
        "device": "cpu",
        "progress_bar": False,
        "loggers": [CSVLogger(folder, name="csv")],
        "evaluation": vi.ImportanceSampling(2),
        "replay": False,  # a replay has nobody watching; test_tape.py says that it is the same
    }
    options = defaults | options
    callbacks = [watch, *callbacks]
    result = vi.fit(net(), given, scheme=scheme, callbacks=callbacks, run_dir=folder, **options)
    return Run(folder, result, watch)


def still():
    """Data that are the same at every visit."""
    return LoadedData(Values(bits(N, 1)), Values(bits(13, 2)), Values(bits(9, 3)), (D,))


def periodic(folder, every=PERIOD, **options):
    return ModelCheckpoint(
        folder / str(every), filename="{step}", every_n_train_steps=every, **options
    )


def all_of_both_periods(folder):
    return [periodic(folder, every, save_top_k=-1) for every in (PERIOD, OTHER_PERIOD)]


def saved(folder, every=PERIOD):
    """step -> the checkpoint file of that name."""
    return {int(p.stem.removeprefix("step=")): p for p in (folder / str(every)).glob("*.ckpt")}


def weights_of(path):
    state = torch.load(path, weights_only=True)["state_dict"]
    return flat({k: v for k, v in state.items() if k.startswith("model.")})


def same_path(one, other):
    """Whether the weights were the same after every step."""
    return torch.equal(torch.stack(one.weights), torch.stack(other.weights))


two_calls = pytest.mark.parametrize("steps_per_call", [1, 50])
calls = pytest.mark.parametrize("steps_per_call", CALLS)

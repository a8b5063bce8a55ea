"""Runs of a fraction of a second, and what they leave."""

import csv
from pathlib import Path

import torch
from lightning.pytorch import Callback

import vi
from tests.support.tiny import D, vae
from vi.data.base import LoadedData, Values

N, EPOCH = 60, 6  # data; steps, of 10 data
FACTS = {"data/name": "csv", "data/file": "a.csv", "data/sha256": "12"}


def bits(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n, D), generator=generator, dtype=torch.uint8)


def data(**facts):
    splits = (Values(bits(N, 1)), Values(bits(13, 2)), Values(bits(9, 3)))
    return LoadedData(*splits, (D,), facts=FACTS | facts)


def fit(folder, *, net=vae, scheme=None, given=None, goes_on=False, callbacks=(), **options):
    """Three epochs of six steps; or what is left of them."""
    defaults = {
        "epochs": 3,
        "batch_size": 10,
        "log_every_n_steps": 4,
        "device": "cpu",
        "progress_bar": False,
        "evaluation": vi.ImportanceSampling(2),
        "loggers": [],
        "replay": False,
    }
    if goes_on:
        defaults["ckpt_path"] = last_of(folder)
    options = {"run_dir": folder, "callbacks": list(callbacks)} | defaults | options
    return vi.fit(net(), given or data(), scheme=scheme, **options)


def last_of(folder):
    return Path(folder) / "checkpoints" / "last.ckpt"


def same(one, other):
    """Whether two models are bit-equal."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def timeless(numbers):
    """What two equal runs have in common."""
    return {k: v for k, v in numbers.items() if "seconds" not in k}


def rows(folder):
    """Of all CSV files of a run, without times."""
    found = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        with path.open(newline="") as file:
            found += [timeless(row) for row in csv.DictReader(file)]
    return found


class Calls(Callback):
    """Does something once, where a hook is called at a step or later."""

    def __init__(self, hook, step, action):
        self.step, self.action, self.done = step, action, False
        setattr(self, hook, self.look)

    def look(self, trainer, *_):
        if trainer.global_step >= self.step and not self.done:
            self.done = True
            self.action()

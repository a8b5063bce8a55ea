"""A damaged run directory: an error of vi, or what the files say; never anything else.

Files that carry a checksum are read as they were or refused: no number changes without a word.
"""

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vi
from tests.support.fuzz import mutate
from vi.cli import train
from vi.cli.composing import run_options
from vi.cli.composing.compose import composed
from vi.cli.runs import open_run
from vi.config.run import Run
from vi.errors import ViError
from vi.files.checkpoint_file import read_checkpoint

FEW, MANY = range(12), range(1_000, 1_250)
OPTIONS = [
    "hidden=[4]",
    "latent_dim=2",
    "trainer.max_epochs=1",
    "trainer.max_steps=2",
    "evaluation.num_samples=2",
    "logger=csv",
    "callbacks=null",
    "trainer.progress_bar=false",
    "hydra.run.dir=run",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a run in it."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py"])
        train.main(OPTIONS)
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of the run, in the present folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "run", tmp_path / "run")
    return Path("run")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(vi.load(run).state_dict())


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"])


def opened(run: Path) -> None:
    open_run(str(run))


def options(run: Path) -> None:
    composed("train", run_options.continued([], run), Run)


def with_new_manifest(read: Callable[[Path], Any]) -> Callable[[Path], None]:
    """As somebody would send it who wants it to be read."""

    def reader(run: Path) -> None:
        manifest = run / "model" / "manifest.json"
        names = json.loads(manifest.read_text(encoding="utf-8"))["sha256"]
        sums = {n: hashlib.sha256((run / "model" / n).read_bytes()).hexdigest() for n in names}
        manifest.write_text(json.dumps({"sha256": sums}), encoding="utf-8")
        read(run)

    return reader


# What is damaged, how it is read, and whether a checksum guards it.
KINDS = {
    "last.ckpt": ("checkpoints/last.ckpt", checkpoint, True),
    "weights": ("model/model.safetensors", weights, True),
    "config": ("model/config.json", weights, True),
    "manifest": ("model/manifest.json", weights, True),
    "config, new manifest": ("model/config.json", with_new_manifest(opened), False),
    "weights, new manifest": ("model/model.safetensors", with_new_manifest(weights), False),
    "options": ("options.json", options, False),
    "overrides of Hydra": (".hydra/overrides.yaml", options, False),
    "configuration of Hydra": (".hydra/hydra.yaml", options, False),
}


def attempt(run: Path, kind: str, seeds: range) -> None:
    name, read, summed = KINDS[kind]
    if name.startswith(".hydra"):
        (run / "options.json").unlink()
    path = run / name
    content = path.read_bytes()
    before = read(run)
    for seed in seeds:
        path.write_bytes(mutate(content, seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = read(run)
            except ViError:
                continue
            except Exception as error:
                error.add_note(f"{kind}, seed {seed}")
                raise
        if summed:
            assert found.keys() == before.keys(), f"{kind}, seed {seed}"
            same = [torch.equal(found[key], value) for key, value in before.items()]
            assert all(same), f"{kind}, seed {seed}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_of_a_run_is_an_error_of_vi_or_what_it_says(run, kind):
    attempt(run, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(run, kind):
    attempt(run, kind, MANY)

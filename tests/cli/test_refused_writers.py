"""A job that is refused leaves the directory of another run as it was."""

import json
import os
import socket

import pytest

from tests.cli.test_commands import command
from vi.cli import train
from vi.cli.composing import sweeps
from vi.files import lock

SMALL = ["trainer.max_epochs=1", "hidden=[4]", "latent_dim=2", "evaluation.num_samples=2"]
UNSEEN = ["callbacks=null", "logger=null", "trainer.device=cpu"]


@pytest.fixture
def theirs(tmp_path):
    """A directory that another process writes to: this one's parent, for all anybody knows."""
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    for name in ("config", "hydra", "overrides"):
        (run / ".hydra" / f"{name}.yaml").write_text("theirs")
    pid = os.getppid()
    holder = {"host": socket.gethostname(), "pid": pid, "start": lock._start(pid)}
    (run / lock.NAME).write_text(json.dumps(holder))
    return run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ended(arguments, folder):
    with pytest.raises(SystemExit) as end:
        command(train.main, arguments, folder)
    return end.value.code


SWEPT = ["-m", "hydra.sweep.dir=.", "hydra.sweep.subdir=run"]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("place", [["hydra.run.dir=run"], SWEPT], ids=["typed", "of a sweep"])
def test_a_second_writer_changes_nothing(place, early, theirs, tmp_path, monkeypatch):
    """Also one that comes after the first look. Caught: .hydra/ written before the lock."""
    if not early:
        for module in (train, sweeps):
            monkeypatch.setattr(module, "require_free", lambda directory: None)
    before = files(theirs)
    assert ended([*SMALL, *UNSEEN, *place], tmp_path) == 6
    assert files(theirs) == before


def test_a_run_that_does_not_begin_changes_nothing(tmp_path):
    """In the directory of one that did. Caught: the options of the failed one in .hydra/."""
    command(train.main, [*SMALL, *UNSEEN, "hydra.run.dir=run"], tmp_path)
    before = files(tmp_path)
    assert (tmp_path / "run" / ".hydra" / "overrides.yaml").is_file()
    code = ended([*SMALL, *UNSEEN, "hydra.run.dir=run", "data.binarize=none"], tmp_path)
    assert code == 3
    assert files(tmp_path) == before


def test_the_folder_of_hydra_is_named_and_left_out_as_it_is_typed(tmp_path):
    sweep = ["-m", "hydra.sweep.dir=swept", "hydra.output_subdir=kept", "seed=1,2"]
    assert ended([*SMALL, *UNSEEN, *sweep], tmp_path) == 0
    for job in ("0", "1"):
        kept = tmp_path / "swept" / job / "kept"
        assert {path.name for path in kept.iterdir()} == {
            "config.yaml",
            "hydra.yaml",
            "overrides.yaml",
        }
        assert "output_subdir: kept" in (kept / "hydra.yaml").read_text()
        assert "output_subdir=null" not in (kept / "hydra.yaml").read_text()
    none = ["hydra.run.dir=bare", "hydra.output_subdir=null"]
    command(train.main, [*SMALL, *UNSEEN, *none], tmp_path)
    assert not (tmp_path / "bare" / ".hydra").exists()

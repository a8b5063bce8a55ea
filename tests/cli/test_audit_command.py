"""``python -m vi audit``: its lines, its exit codes, and what it leaves in the run."""

import json
import shutil

import pytest

from tests.cli.test_commands import command
from vi.cli import audit, evaluate, train
from vi.files.findings import findings

TRAINED = [
    "trainer.max_epochs=2",
    "hidden=[16]",
    "latent_dim=2",
    "trainer.device=cpu",
    "evaluation.num_samples=20",
    "callbacks=null",
    "logger=null",
    "hydra.run.dir=run",
]
SMALL = ["limit=20", "evaluations=20000", "device=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a model was trained on digits and evaluated."""
    folder = tmp_path_factory.mktemp("user")
    command(train.main, TRAINED, folder)
    chosen = ["evaluation=importance_sampling", "evaluation.num_samples=20"]
    command(evaluate.main, ["run=run", *chosen], folder)
    return folder


def test_an_honest_run_passes_and_says_so(folder, capsys):
    """A line for each check, a sentence, a finding."""
    command(audit.main, ["run=run", *SMALL], folder)
    said = capsys.readouterr().out
    assert "✓ independence of the company" in said
    assert "– the total of p(x)" in said
    assert "✗" not in said
    assert "checks passed" in said
    found = findings(folder / "run")["audit on test"]
    passed, of = found["said"][0].partition(" checks passed")[0].split(" of ")
    assert passed == of
    assert found["numbers"]["the stated numbers"]["value"] <= 1
    assert "checks passed" in (folder / "run" / "report.md").read_text()


def _edited(folder, place, change):
    """A copy of the run with another JSON file."""
    shutil.copytree(folder / "run", folder / place)
    for name in ("metrics.json", "evaluation.json"):
        path = folder / place / name
        values = json.loads(path.read_text())
        path.write_text(json.dumps(change(name, values)))


def _refused(folder, capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        command(audit.main, [*arguments, *SMALL], folder)
    return end.value.code, "".join(capsys.readouterr())


def test_an_edited_number_ends_with_5(folder, capsys):
    """In metrics.json, by .01 nats, and in evaluation.json."""

    def better(name, values):
        if name == "metrics.json":
            values["test/log_likelihood"] += 0.01
        return values

    _edited(folder, "edited", better)
    code, said = _refused(folder, capsys, "run=edited")
    assert code == 5
    assert "✗ the stated numbers" in said
    assert "metrics.json says test/log_likelihood" in said
    assert "do not compare its numbers" in said

    def more_samples(name, values):
        if name == "evaluation.json":
            numbers = next(iter(values.values()))["numbers"]
            numbers["log_likelihood"]["samples"] = 10
        return values

    _edited(folder, "renamed", more_samples)
    code, said = _refused(folder, capsys, "run=renamed")
    assert code == 5
    assert "evaluation.json (importance sampling on test) says" in said


def test_what_is_no_finished_run_is_refused(folder, capsys):
    code, said = _refused(folder, capsys, "run=nowhere")
    assert code == 4
    assert "no model in nowhere" in said or "there is no directory nowhere" in said
    code, said = _refused(folder, capsys, "run=run", "split=other")
    assert code == 2


def test_the_value_of_every_datum_is_compared(folder, capsys):
    """A single datum in evaluation.npz."""
    import numpy as np

    shutil.copytree(folder / "run", folder / "datum")
    path = folder / "datum" / "evaluation.npz"
    values = dict(np.load(path))
    values["log_likelihood"][0] += 1
    np.savez(path, **values)
    code, said = _refused(folder, capsys, "run=datum")
    assert code == 5
    assert "✗ the stated numbers" in said


def test_another_seed_of_the_noise_accuses_nobody(folder, capsys):
    """The data stay those of the run."""
    command(audit.main, ["run=run", *SMALL, "seed=3", "out=a.json"], folder)
    said = capsys.readouterr().out
    assert "✓ the data that are named" in said
    assert "✗" not in said

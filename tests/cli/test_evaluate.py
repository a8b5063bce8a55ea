"""``python -m vi evaluate`` escalates: what it prints and writes, and what it refuses."""

import numpy as np
import pytest

from tests.cli.test_commands import UNSEEN, command
from vi.cli import evaluate, train
from vi.evaluation.escalation.rungs import Rung
from vi.files.findings import findings

TINY = [
    "hidden=[8]",
    "latent_dim=2",
    "trainer.max_steps=20",
    "evaluation_samples=2",
    "data=digits",
]
QUICK = ["evaluation_samples=2000", "evaluation.evaluation.num_temperatures=5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a small model was trained."""
    folder = tmp_path_factory.mktemp("user")
    command(train.main, [*TINY, *UNSEEN, "trainer.device=cpu", "hydra.run.dir=run"], folder)
    return folder


def test_it_escalates_unless_told_otherwise(folder, capsys):
    """And says how far log p(x) can be trusted. Caught: the cheaper evaluation as the default."""
    command(evaluate.main, ["run=run", "limit=6", *QUICK], folder)
    said = capsys.readouterr().out
    assert "log p(x) of test: " in said
    (found,) = findings(folder / "run").values()
    assert found["numbers"]["log_likelihood"]["samples"] == 2000
    rungs = np.load(folder / "run" / "evaluation.npz")["rung"]
    assert rungs.shape == (6,)
    assert set(rungs) <= {Rung.ENCODER, Rung.REFINED, Rung.ANNEALED}


def test_a_budget_of_seconds_is_told_in_rows(folder, capsys):
    """If any datum climbs. Caught: rows that nobody can type."""
    options = ["evaluation.budget_seconds=0.01", "evaluation.budget=null", *QUICK]
    narrow = ["evaluation.refinement.num_steps=1", "evaluation.refinement.num_draws=1"]
    command(evaluate.main, ["run=run", "limit=40", *options, *narrow, "out=a.json"], folder)
    said = capsys.readouterr().out
    climbed = (np.load(folder / "a.npz")["rung"] > Rung.ENCODER).sum()
    assert ("evaluation.budget=" in said) is bool(climbed)


def test_too_few_draws_end_with_2(folder, capsys):
    """With both ways out; nothing is measured."""
    with pytest.raises(SystemExit) as ended:
        command(evaluate.main, ["run=run", "evaluation_samples=20"], folder)
    assert ended.value.code == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert "20 draws show too little of the tail" in error
    assert "evaluation_samples=2000 or more" in hint
    assert "evaluation=importance_sampling" in hint


def test_data_of_the_model_are_bounded_from_both_sides(folder, capsys):
    """And it says that these are data of the model."""
    options = ["evaluation=bidirectional_monte_carlo", "evaluation.num_temperatures=20"]
    command(evaluate.main, ["run=run", "limit=6", *options, "out=b.json"], folder)
    said = capsys.readouterr().out
    assert "log p(x) of data simulated by the model lies between" in said
    assert "this holds for data of the model" in said
    (found,) = findings(folder, folder / "b.json").values()
    low, high = (found["numbers"][f"simulated_{end}_bound"]["value"] for end in ("lower", "upper"))
    assert low <= high + 4 * found["numbers"]["bidirectional_gap"]["error"]
    assert found["numbers"]["seconds_per_datum"]["unit"] == "seconds"

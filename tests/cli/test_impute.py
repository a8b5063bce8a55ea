"""Training with hidden entries and filling them in, as a user types it."""

import json
import sys

import numpy as np
import pytest

from vi.cli import evaluate, impute, train
from vi.files.findings import findings

OPTIONS = [
    "trainer.max_epochs=2",
    "hidden=[16]",
    "latent_dim=2",
    "trainer.device=cpu",
    "evaluation.num_samples=5",
    "~callbacks.pictures",
]


def command(main, arguments, folder):
    """Run a command in a folder, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py"])
        main(arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a model was trained on digits, half of whose pixels it did not see."""
    folder = tmp_path_factory.mktemp("user")
    command(train.main, [*OPTIONS, "data.hidden_fraction=0.5", "hydra.run.dir=run"], folder)
    return folder


def test_files_and_numbers(folder):
    """The truth where it is known, what was seen as it was, and the same for every batch size."""
    command(impute.main, ["run=run", "evaluation.num_samples=20", "limit=50"], folder)
    arrays = np.load(folder / "run" / "imputed.npz")
    x, observed, truth = (arrays[name] for name in ("x", "observed", "truth"))
    assert x.shape == observed.shape == truth.shape == (50, 1, 8, 8)
    np.testing.assert_array_equal(x[observed], truth[observed])
    assert 0 < x[~observed].min() < x[~observed].max() < 1
    assert set(np.unique(truth)) == {0.0, 1.0}
    assert (folder / "run" / "imputations.png").stat().st_size > 1000
    numbers = json.loads((folder / "run" / "impute.json").read_text())
    assert numbers["test/count"] == 50
    assert numbers["test/held_out_entries"] == numbers["test/missing_entries"] == (~observed).sum()
    assert numbers["data/hidden"] == 0.5
    assert numbers["test/num_samples"] == 20
    nats = numbers["test/held_out_log_likelihood"]
    per_entry = numbers["test/held_out_log_likelihood_per_entry"]
    assert per_entry * (~observed).sum() == pytest.approx(nats * 50)
    assert numbers["test/independent_log_likelihood"] < 0
    arguments = ["run=run", "evaluation.num_samples=20", "limit=50", "batch_size=7", "out=other"]
    command(impute.main, arguments, folder)
    other = json.loads((folder / "other" / "impute.json").read_text())
    for name, value in numbers.items():
        assert other[name] == (
            pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        )


def test_other_splits_are_filled_in_too(folder):
    """The training bits are drawn once."""
    arguments = ["run=run", "split=train", "evaluation.num_samples=2", "limit=9", "out=train"]
    command(impute.main, arguments, folder)
    first = dict(np.load(folder / "train" / "imputed.npz"))
    command(impute.main, arguments, folder)
    again = np.load(folder / "train" / "imputed.npz")
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_the_run_is_evaluated_on_what_it_sees(folder):
    arguments = ["evaluation=importance_sampling", "evaluation.num_samples=5"]
    command(evaluate.main, ["run=run", *arguments], folder)
    first = json.loads((folder / "run" / "metrics.json").read_text())
    (again,) = findings(folder / "run").values()
    for name in ("elbo", "log_likelihood"):
        value = again["numbers"][name]["value"]
        assert value == pytest.approx(first[f"test/{name}"], rel=1e-6)


def test_a_table_with_empty_cells_is_completed(tmp_path):
    """Standardised, conditional on a label; nobody knows the truth, and no number says so."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=60)
    rows = np.stack([z, 2 * z, 5 - z], 1) + 0.1 * rng.normal(size=(60, 3))
    cells = [[f"{v:.3f}" if rng.random() > 0.2 else "" for v in row] for row in rows]
    lines = ["a,b,c,kind", *(",".join([*row, "xy"[i % 2]]) for i, row in enumerate(cells))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = ["data=csv", "data.path=t.csv", "data.label=kind", "data.context=label"]
    refused = [*OPTIONS, *data, "hydra.run.dir=run"]
    with pytest.raises(SystemExit) as ended:
        command(train.main, refused, tmp_path)
    assert ended.value.code == 3
    assert not (tmp_path / "run").exists()
    command(train.main, [*refused, "data.missing=mask"], tmp_path)
    command(impute.main, ["run=run", "split=train", "evaluation.num_samples=5"], tmp_path)
    arrays = np.load(tmp_path / "run" / "imputed.npz")
    assert np.isfinite(arrays["x"]).all()
    np.testing.assert_array_equal(np.isnan(arrays["truth"]), ~arrays["observed"])
    numbers = json.loads((tmp_path / "run" / "impute.json").read_text())
    assert numbers["train/held_out_entries"] == 0
    assert numbers["train/missing_entries"] > 10
    assert "train/held_out_log_likelihood" not in numbers
    assert (tmp_path / "run" / "imputations.png").stat().st_size > 1000


def test_the_refusal_of_empty_cells_names_the_way_out(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("\n".join(["a,b", "1,", *(f"{i},{i}" for i in range(30))]))
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*OPTIONS, "data=csv", "data.path=t.csv"], tmp_path)
    assert ended.value.code == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert "1 NaN values in the" in error
    assert "data.missing=mask" in hint


def test_a_model_that_needs_all_entries_says_so(tmp_path, capsys):
    arguments = ["model=bernoulli_mixture", "scheme=exact_em", "data.binarize=static"]
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*arguments, "data.hidden_fraction=0.5"], tmp_path)
    assert ended.value.code == 3
    assert "entries are missing in the training data, and BernoulliMixture needs all of them" in (
        capsys.readouterr().err
    )


def test_a_run_in_which_nothing_is_missing_says_how_to_make_one(tmp_path, capsys):
    command(train.main, [*OPTIONS, "trainer.max_steps=1", "hydra.run.dir=run"], tmp_path)
    with pytest.raises(SystemExit) as ended:
        command(impute.main, ["run=run"], tmp_path)
    assert ended.value.code == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: nothing is missing in these data"
    assert "data.hidden_fraction=0.5" in hint

"""debug=smoke runs any configuration to its end, in seconds, and nobody takes its numbers."""

import json

import pytest

from tests.cli.test_commands import command
from tests.support.tiny import D
from tests.training.test_collapse import signal
from vi.cli import train
from vi.cli.composing.compose import composed
from vi.config.registry import options
from vi.config.run import Run
from vi.data.base import LoadedData

TABLE = "a,b\n" + "".join(f"{n % 7}.5,{n % 5 + 0.25 * (n % 3)}\n" for n in range(60))
EXACT = ["data.binarize=none", "num_components=3"]


def values(*overrides):
    return composed("train", ["debug=smoke", *overrides], Run)


@pytest.mark.parametrize("data", options("data"))
def test_it_composes_with_every_data_option(data):
    """Caught: an order in which the data's own epochs and batch size won."""
    needed = ["data.path=a"] if data in ("csv", "npz", "image_folder") else []
    found = values(f"data={data}", *needed)
    trainer = found["trainer"]
    assert (trainer["max_epochs"], trainer["limit_train_batches"]) == (2, 2)
    assert (trainer["limit_data"], trainer["batch_size"], trainer["debug"]) == (128, 64, True)
    assert found["evaluation"]["num_samples"] == 10


def test_what_is_typed_wins():
    found = values("trainer.max_epochs=7", "evaluation_samples=30", "trainer.limit_data=50")
    assert found["trainer"]["max_epochs"] == 7
    assert found["trainer"]["limit_data"] == 50
    assert found["evaluation"]["num_samples"] == 30
    assert values("max_epochs=5")["trainer"]["max_epochs"] == 5
    assert composed("train", ["debug=null"], Run)["trainer"]["debug"] is False


@pytest.mark.parametrize(
    "chosen",
    [
        ["latent_dim=2", "hidden=[8]"],
        ["data=csv", "data.path=a.csv", "hidden=[8]"],
        ["model=kmeans", "scheme=hard_em", *EXACT],
        ["model=gmm", "scheme=exact_em", "covariance=diagonal", *EXACT],
        ["inference=per_datum", "scheme=svi", "hidden=[8]", "refinement.num_steps=2"],
        ["scheme=semi_amortised", "hidden=[8]", "refinement.num_steps=2"],
        ["evaluation=inference_gaps", "hidden=[8]", "evaluation.refinement.num_steps=2"],
    ],
    ids=lambda chosen: " ".join(chosen[:2]),
)
def test_it_runs_to_the_end_and_leaves_everything(chosen, tmp_path, capsys):
    """Caught: an evaluation without a number of samples, which the closing table asked for."""
    (tmp_path / "a.csv").write_text(TABLE)
    command(train.main, ["debug=smoke", *chosen, "hydra.run.dir=run"], tmp_path)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["debug"] is True
    assert metrics["train/epochs"] <= 2
    assert metrics["train/steps"] <= 4
    assert metrics["test/count"] <= 128
    files = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"samples.png", "reconstructions.png", "curves.png", "model"} <= files
    if {"scheme=hard_em", "scheme=exact_em"} & set(chosen):
        assert "ledger.png" in files
    told = capsys.readouterr().out
    assert "DEBUG" in told
    assert "its numbers mean nothing" in told


def test_a_sweep_of_trials(tmp_path):
    small = ["hidden=[4]", "latent_dim=2", "callbacks=null", "logger=null"]
    swept = ["-m", "debug=smoke", "posterior=diagonal_gaussian,full_gaussian", *small]
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*swept, "hydra.sweep.dir=s"], tmp_path)
    assert ended.value.code == 0
    for job in ("0", "1"):
        assert json.loads((tmp_path / "s" / job / "metrics.json").read_text())["debug"] is True


def test_another_run_is_not_marked(tmp_path, capsys):
    options_ = ["hidden=[4]", "latent_dim=2", "trainer.max_steps=2", "evaluation_samples=2"]
    unseen = ["callbacks=null", "logger=null", "hydra.run.dir=run"]
    command(train.main, [*options_, *unseen], tmp_path)
    assert "debug" not in json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "DEBUG" not in capsys.readouterr().out


def test_limited_data_are_spread_and_keep_what_belongs_to_them():
    """Caught: the first of files that are sorted by class."""
    train_, few = signal(100, 0), signal(5, 1)
    train_.given = {"context": train_.stored[:, :2].float()}
    train_ = train_.with_observed(train_.stored > 0)
    data = LoadedData(train_, None, few, (D,)).limited(10)
    assert (len(data.train), data.val, len(data.test)) == (10, None, 5)
    assert (data.train.stored == train_.stored[::10]).all()
    assert (data.train.given["context"] == train_.given["context"][::10]).all()
    assert data.train.observed is not None
    assert (data.train.observed == train_.observed[::10]).all()
    assert data.test is few
    assert len(train_) == 100

"""Old Faithful, and how data options ask for standardised data."""

import csv
import gzip
import json
import math
import re

import pytest
import torch

from vi.cli.composing.compose import composed
from vi.cli.train import train
from vi.config.registry import config_dir, options
from vi.config.run import Run
from vi.data.geyser import Geyser
from vi.errors import ConfigurationError, DataError

FILE = "geyser/geyser.csv"
SPEAKS_OF_MODELS = [  # the other yaml files of data cannot reach one
    name
    for name in options("data")
    if re.search("model|standardize", (config_dir() / "data" / f"{name}.yaml").read_text())
]


def rows(split, kinds=("long", "short")):
    """(duration, waiting, kind) of every item."""
    labels = [kinds[k] for k in split.given["context"].argmax(1)]
    return [(*x, kind) for x, kind in zip(split.stored.tolist(), labels, strict=True)]


def parts(data):
    return data.train, data.val, data.test


def test_the_splits_are_a_partition_of_the_file_with_its_kinds(real, float64):
    """Caught: long and short exchanged, fractions of 0.15, a column left out."""
    with real(FILE).open() as file:
        original = [(float(d), float(w), kind) for d, w, kind in list(csv.reader(file))[1:]]
    data = Geyser(context="label").load()
    assert [len(split) for split in parts(data)] == [192, 40, 40]
    assert sorted(row for split in parts(data) for row in rows(split)) == sorted(original)
    assert (data.shape, data.context_dim) == ((2,), 2)
    assert data.facts["data/columns"] == "duration,waiting"


def test_the_split_depends_on_its_own_seed_alone(real):
    real(FILE)
    one, other, third = Geyser().load(0), Geyser().load(1), Geyser(split_seed=1).load()
    for a, b in zip(parts(one), parts(other), strict=True):
        assert torch.equal(a.stored, b.stored)
    assert not torch.equal(one.test.stored, third.test.stored)
    assert (one.context_dim, one.train.given) == (0, {})


def test_a_mixture_may_have_all_points(real):
    real(FILE)
    data = Geyser(validation_fraction=0, test_fraction=0).load()
    assert data.val is None
    assert torch.equal(data.train.stored, data.test.stored)
    assert data.train.stored.double().mean(0).tolist() == pytest.approx([3.4878, 70.897], abs=1e-3)
    assert "the test split is the training split" in data.facts["data/split"]


def test_fractions_that_leave_nothing_are_refused():
    with pytest.raises(ConfigurationError, match="sum below 1"):
        Geyser(validation_fraction=0.5, test_fraction=0.5)


def test_a_missing_file_is_named_with_its_sha256_and_folder(tmp_path):
    with pytest.raises(DataError, match=f"Old Faithful not found in {tmp_path}") as caught:
        Geyser(dir=str(tmp_path)).load()
    for part in ("geyser.csv", Geyser.file.sha256, str(tmp_path / "geyser"), "VI_DATA_DIR"):
        assert part in caught.value.hint


def test_one_changed_byte_is_found_and_a_gz_is_read(writable_copy):
    root = writable_copy(FILE)
    path, content = root / FILE, (root / FILE).read_bytes()
    path.write_bytes(content.replace(b"3.6,79", b"3.7,79", 1))
    with pytest.raises(DataError, match=f"{path} is damaged"):
        Geyser(dir=str(root)).load()
    path.unlink()
    path.with_name("geyser.csv.gz").write_bytes(gzip.compress(content))
    assert len(Geyser(dir=str(root)).load().train) == 192


@pytest.mark.parametrize("data", [*SPEAKS_OF_MODELS, "digits"])
def test_a_model_that_never_standardises_composes_with_every_data_set(data, tmp_path):
    """Caught: ``model: {standardize: true}`` in the yaml of csv, refused for such a model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "exact.yaml").write_text(
        "_target_: tests.support.oracles.LinearGaussian\n"
    )
    search = f"hydra.searchpath=[file://{tmp_path}]"
    chosen = [search, "plugins=[tests]", "model=exact", f"data={data}"]
    chosen += ["data.path=x"] if data == "csv" else []
    assert composed("train", chosen, Run)["model"].keys() == {"_target_"}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["data=digits"], False),
        (["data=csv", "data.path=x"], True),
        (["data=geyser"], True),
        (["data=geyser", "model.standardize=false"], False),
        (["data=geyser", "standardize=false"], False),
        (["data=digits", "model.standardize=true"], True),
    ],
)
def test_data_options_set_standardize_and_the_command_line_overrules_them(chosen, expected):
    assert composed("train", chosen, Run)["model"]["standardize"] is expected


@pytest.mark.slow
def test_two_epochs_from_the_command_line(real, tmp_path):
    real(FILE)
    chosen = ["data=geyser", "trainer.max_epochs=2", "evaluation.num_samples=10"]
    plain = composed("train", chosen, Run)
    assert plain["num_components"] == 2
    train(Run(**plain), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data/sha256"] == Geyser.file.sha256
    assert math.isfinite(metrics["test/log_likelihood"])

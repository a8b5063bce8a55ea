"""What each data set asks of a run stays what it was, and gives way to what somebody chooses."""

import json
from pathlib import Path

import pytest

from vi.cli.composing.compose import composed
from vi.config.run import Run
from vi.errors import ConfigurationError

BEFORE = json.loads((Path(__file__).parent.parent / "fixtures/configurations.json").read_text())
"""Composed by version 0.1: all of ``data=digits``, and what differs with the other data."""
RENAMED = {
    "trainer.products": "trainer.linear_kernels",
    "data.hidden": "data.hidden_fraction",
}
PATHS = {"csv": "a.csv", "npz": "a.npz", "image_folder": "a"}


def flat(node, path=""):
    if not isinstance(node, dict) or not node:
        return {path: node}
    return {
        name: value
        for key, child in node.items()
        for name, value in flat(child, f"{path}.{key}" if path else key).items()
    }


def values(*overrides):
    """By name; of a class its own name, not where it lies."""
    plain = flat(composed("train", overrides, Run))
    return {k: v.rpartition(".")[2] if k.endswith("_target_") else v for k, v in plain.items()}


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_a_data_set_asks_for_what_it_did(name):
    path = [f"data.path={PATHS[name]}"] if name in PATHS else []
    found = values(f"data={name}", *path)
    before = {RENAMED.get(k, k): v for k, v in (BEFORE["digits"] | BEFORE[name]).items()}
    expected = {k: v for k, v in before.items() if k in found or k in BEFORE[name]}
    assert {k: found.get(k) for k in expected} == expected


def test_a_size_for_perceptrons_is_none_for_other_networks():
    found = values("data=binary_latent", "decoder=conv")
    assert "decoder.hidden" not in found
    assert found["encoder.hidden"] == [64]


@pytest.mark.parametrize("data", ["linear_gaussian", "binary_latent"])
def test_the_learning_rate_of_adam_is_none_for_another_optimizer(data):
    assert values(f"data={data}", "optimizer=sgd")["optimizer.lr"] == 0.01
    assert values(f"data={data}", "optimizer=adamw")["optimizer.lr"] != 0.001


def test_what_is_typed_counts_more_than_what_data_ask_for():
    found = values(
        "data=linear_gaussian",
        "optimizer.lr=0.1",
        "trainer.max_epochs=7",
        "evaluation.num_samples=9",
        "hidden=[5]",
    )
    assert found["optimizer.lr"] == 0.1
    assert found["trainer.max_epochs"] == 7
    assert found["evaluation.num_samples"] == 9
    assert found["decoder.hidden"] == [5]


@pytest.mark.parametrize(
    "typed",
    [
        ["learning_rate=0.1", "optimizer=sgd"],
        ["decoder_hidden=[3]", "decoder=conv"],
        ["hidden=[3]", "encoder=conv", "decoder=conv"],
        ["num_components=3"],
        ["model=gmm", "scheme=exact_em", "data=geyser", "standardize=true"],
    ],
    ids=lambda typed: " ".join(typed),
)
def test_a_value_that_no_part_takes_is_refused(typed):
    with pytest.raises(ConfigurationError, match="has no effect: no part of this run takes"):
        composed("train", typed, Run)


def test_a_value_that_one_part_takes_is_welcome():
    assert values("hidden=[3]", "encoder=conv")["decoder.hidden"] == [3]
    assert values("learning_rate=0.1")["optimizer.lr"] == 0.1

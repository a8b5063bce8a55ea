"""A model directory made by a stranger, checksums and all: refused by name, never a trace."""

import hashlib
import json
import time

import pytest
import torch

import vi
from vi.cli import sample
from vi.cli.runs import open_run
from vi.errors import CheckpointError, ConfigurationError
from vi.files.model_files import read_config


@pytest.fixture
def directory(tmp_path):
    """A saved model."""
    mlp = vi.MLP([2])
    parts = (vi.DiagonalGaussian(1), vi.StandardNormal(1), vi.Bernoulli())
    data, bound = vi.data.Digits(), vi.ELBO()
    model = vi.VAE((1, 8, 8), mlp, mlp, *parts)
    model.initialize(torch.zeros(3, 1, 8, 8))
    facts = {"seed": 0, "data/shape": "1x8x8"}
    return vi.save(model, tmp_path / "model", facts=facts, parts={"data": data, "bound": bound})


def replaced(directory, text):
    """Another config.json, to which the manifest is made to fit."""
    content = text if isinstance(text, bytes) else text.encode()
    (directory / "config.json").write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["sha256"]["config.json"] = hashlib.sha256(content).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))


CHANGES = [
    {"facts": []},
    {"facts": {"seed": "0"}},
    {"facts": {"seed": -1}},
    {"facts": {"seed": 10**30}},
    {"facts": {"seed": 1.5}},
    {"facts": {"seed": None}},
    {"facts": {"data/shape": "8xx8"}},
    {"facts": {"data/shape": "9" * 30}},
    {"facts": {"a": {"b": 1}}},
    {"bound": None},
    {"data": None},
    {"data": []},
    {"model": None},
    {"model": {"option": "vae", "data_shape": "junk"}},
    {"bound": {"option": "iwae", "num_samples": 0}},
    {"data": {"option": "digits", "binarize": 5}},
    {"format": 2},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_configuration_that_save_does_not_write_ends_with_4(directory, change):
    """Caught: AttributeError and its kin."""
    config = json.loads((directory / "config.json").read_text())
    replaced(directory, json.dumps(config | change))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_run(str(directory.parent))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"format": NaN}', '{"format": 1, "format": 1}', b"\xff", "", "{", "[]", "5"],
    ids=lambda text: str(text)[:8],
)
def test_a_text_that_is_no_json_ends_with_4_within_a_second(directory, text):
    for name in ("config.json", "manifest.json"):
        replaced(directory, text)
        if name == "manifest.json":
            (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        started = time.process_time()
        with pytest.raises(CheckpointError, match=name):
            read_config(directory)
        assert time.process_time() - started < 1


@pytest.mark.parametrize("value", ["10**400", "0", "-1", "1e30", "null", '"a"', "[]", "{}"])
def test_a_part_that_cannot_be_is_named(directory, value):
    """Caught: OverflowError."""
    value = str(10**400) if value == "10**400" else value
    config = json.loads((directory / "config.json").read_text())
    config["model"]["posterior"]["latent_dim"] = json.loads(value)
    replaced(directory, json.dumps(config))
    with pytest.raises((ConfigurationError, CheckpointError)) as caught:
        vi.load(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
def test_a_file_that_cannot_be_read_ends_with_4(directory, name, capsys):
    """Caught: 6, as if the run directory could not be written."""
    (directory / name).unlink()
    (directory / name).symlink_to("/proc/self/mem")
    with pytest.raises(SystemExit) as ended:
        sample.main([f"run={directory}"])
    assert ended.value.code == 4
    assert f"{name}" in capsys.readouterr().err


def test_a_fact_that_is_not_finite_is_null(directory):
    """Caught: a model that its own reader refuses."""
    model = vi.load(directory)
    vi.save(model, directory, facts={"a": float("nan"), "b": -float("inf"), "c": 1.5})
    assert read_config(directory)["facts"] == {"a": None, "b": None, "c": 1.5}


def test_a_fact_that_an_older_version_left_as_no_number_is_null(directory):
    """Caught: a model that loaded before, and now does not."""
    config = json.loads((directory / "config.json").read_text())
    config["facts"] |= {"a": float("nan"), "b": -float("inf"), "c": 1.5}
    replaced(directory, json.dumps(config))
    with pytest.warns(UserWarning, match="config.json contains facts that are not finite"):
        facts = read_config(directory)["facts"]
    assert (facts["a"], facts["b"], facts["c"]) == (None, None, 1.5)
    config["model"]["posterior"]["latent_dim"] = float("nan")
    replaced(directory, json.dumps(config))
    with pytest.raises(CheckpointError, match="contains NaN or Infinity"):
        read_config(directory)

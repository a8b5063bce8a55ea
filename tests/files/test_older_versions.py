"""Runs of the version before q(z|x) was a part of its own: they load, go on, and give its numbers.

``fixtures/before_inference`` holds a run directory of each kind, and beside it what that version
said of it: numbers of its metrics, of the model on a few data, and of the run gone on with.
"""

import json
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

import vi
from vi.cli import train

FOLDER = Path(__file__).parent / "fixtures" / "before_inference"
KINDS = sorted(path.stem for path in FOLDER.glob("*.zip"))
TOLERANCE = {"rel": 1e-4, "abs": 1e-5}  # processors round differently, and training adds it up


def _numbers(path):
    metrics = json.loads(path.read_text())
    plain = {k: v for k, v in metrics.items() if type(v) in (int, float)}
    return {k: v for k, v in plain.items() if "seconds" not in k}


def _close(ours, theirs):
    ours, theirs = (torch.as_tensor(v, dtype=torch.float64) for v in (ours, theirs))
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE["rel"], atol=TOLERANCE["abs"])


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def run(kind, tmp_path):
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def told(kind):
    return json.loads((FOLDER / f"{kind}.json").read_text())


def test_a_model_directory_gives_its_numbers(run, told):
    """log q, log p(x, z), the bound and log p(x) of a few data: to 1e-4."""
    model, x = vi.load(run), torch.tensor(told["x"])
    z = torch.tensor(told["z"], dtype=torch.float64 if _is_exact(told) else torch.float32)
    torch.manual_seed(1)  # a refinement draws
    q = model.posterior(x)
    if told["mean"] is not None:
        _close(q.mean, told["mean"])
    _close(q.log_prob(z), told["log_q"])
    _close(model.log_joint(x, z), told["log_joint"])
    torch.manual_seed(3)
    exact = told["options"] == "GMM"
    bound = vi.LogWeightELBO(30)(model, x).value if not exact else model.log_evidence(x)
    _close(bound, told["bound"])
    torch.manual_seed(4)
    _close(vi.log_likelihood(model, x, num_samples=50).value, told["log_likelihood"])


def _is_exact(told):
    return told["options"] in ("GMM", "Amortized")


def test_a_run_goes_on(kind, run, told, monkeypatch):
    """From its last checkpoint, by the same optimisers: metrics, weights and table to 1e-4."""
    monkeypatch.chdir(run.parent)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "model=", FutureWarning)  # an older name of an option
        train.main(["ckpt_path=run/checkpoints/last.ckpt", *told["resumed_with"]])
    numbers = _numbers(run / "metrics.json")
    if kind == "refined":  # that version left the rows of its refinements out of the account
        del told["resumed"]["spent/decoder_evaluations"]
    for name, value in told["resumed"].items():
        assert numbers[name] == pytest.approx(value, **TOLERANCE), name
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    weights = [v.double() for v in last["state_dict"].values() if v.is_floating_point()]
    sizes = [[v.sum(), v.norm()] for v in weights]
    assert len(sizes) == len(told["weights"])
    _close(sorted(map(_floats, sizes)), sorted(told["weights"].values()))
    if "table" in told:
        _close(last["scheme"]["table"], told["table"])


def _floats(pair):
    return [float(value) for value in pair]

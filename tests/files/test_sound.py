"""A model directory whose checksums are right and whose contents are not what ``vi`` writes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vi
from tests.support import tiny
from tests.support.inference import amortized
from vi.errors import CheckpointError
from vi.files.model_files import load_weights, read_config

WEIGHTS, CONFIG, MANIFEST = "model.safetensors", "config.json", "manifest.json"
LAST = "decoder.layers.2.weight"


@pytest.fixture
def directory(tmp_path) -> Path:
    facts = {"seed": 3, "data/shape": "6", "elbo": -1.5, "data/note": None}
    return vi.save(tiny.vae(), tmp_path / "model", facts=facts, parts={"bound": vi.ELBO()})


def _signed(directory: Path) -> None:
    """The manifest of what is there now."""
    names = (WEIGHTS, CONFIG, "README.md")
    digests = {n: hashlib.sha256((directory / n).read_bytes()).hexdigest() for n in names}
    (directory / MANIFEST).write_text(json.dumps({"sha256": digests}))


def _with_weight(directory: Path, change) -> None:
    weights = load_file(directory / WEIGHTS)
    weights[LAST] = change(weights[LAST])
    save_file(weights, directory / WEIGHTS)
    _signed(directory)


SPOILED = {
    "NaN": (lambda w: w.index_fill(0, torch.tensor([1]), torch.nan), "4 NaN values in"),
    "integers": (lambda w: w.to(torch.int64), "is torch.int64, the model expects torch.float32"),
    "bits": (lambda w: w > 0, "is torch.bool, the model expects torch.float32"),
    "half of it in half precision": (lambda w: w.half(), "is torch.float16, the model expects"),
    "doubles among floats": (lambda w: w.double(), "is torch.float64, the model expects"),
    "complex": (
        lambda w: w.to(torch.complex64),
        "is torch.complex64, the model expects torch.float32",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_weights_that_are_none_are_refused_by_name(directory, kind):
    """Both ways in: a new model and one that is there. Caught: exit 0 and NaN for every datum."""
    change, message = SPOILED[kind]
    _with_weight(directory, change)
    for read in (vi.load, lambda source: load_weights(tiny.vae(), source)):
        with pytest.raises(CheckpointError, match=f"{LAST} {message}|{message} {LAST}") as error:
            read(directory)
        assert error.value.hint


def test_a_whole_model_may_have_another_precision(tmp_path):
    """Each in the one it was saved in; also where a part of the model is always double."""
    exact = vi.PPCA((6,), 2)
    models = [tiny.vae().double(), tiny.vae().bfloat16(), tiny.mixture()]
    models.append(amortized(exact, vi.MLP([4]), vi.FullGaussian(2)))
    for number, model in enumerate(models):
        ours, theirs = model, vi.load(vi.save(model, tmp_path / str(number)))
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


JUNK = {
    "facts missing": lambda c: c.pop("facts"),
    "facts a list": lambda c: c.update(facts=[1, 2]),
    "facts null": lambda c: c.update(facts=None),
    "seed a text": lambda c: c["facts"].update(seed="three"),
    "seed a number that is not whole": lambda c: c["facts"].update(seed=1.5),
    "seed true": lambda c: c["facts"].update(seed=True),
    "seed negative": lambda c: c["facts"].update(seed=-1),
    "seed huge": lambda c: c["facts"].update(seed=1e30),
    "seed of 64 bits": lambda c: c["facts"].update(seed=1 << 63),
    "bound null": lambda c: c.update(bound=None),
    "data null": lambda c: c.update(data=None),
    "data a text": lambda c: c.update(data="mnist"),
    "model null": lambda c: c.update(model=None),
    "plugins a text": lambda c: c.update(plugins="os"),
    "plugins of numbers": lambda c: c.update(plugins=[1]),
    "shape junk": lambda c: c["facts"].update({"data/shape": "axb"}),
    "shape a number": lambda c: c["facts"].update({"data/shape": 6}),
    "shape negative": lambda c: c["facts"].update({"data/shape": "-6"}),
    "shape huge": lambda c: c["facts"].update({"data/shape": "999999999x999999999"}),
}


@pytest.mark.parametrize("kind", JUNK)
def test_a_configuration_that_vi_does_not_write_is_refused(directory, kind):
    """Its checksum is right. Caught: a KeyError, an AttributeError, a seed that torch refuses."""
    config = json.loads((directory / CONFIG).read_text())
    JUNK[kind](config)
    (directory / CONFIG).write_text(json.dumps(config))
    _signed(directory)
    with pytest.raises(CheckpointError, match="config.json") as error:
        read_config(directory)
    assert error.value.hint


def test_what_vi_writes_is_read(directory):
    assert read_config(directory)["facts"]["seed"] == 3
    assert vi.load(directory).encode(torch.ones(2, 6)).shape == (2, 2)

"""Binary tables of the density estimation literature, against their known numbers."""

import gzip
import json
from typing import get_args

import pytest
import torch

from vi.cli.composing.compose import composed
from vi.cli.train import train
from vi.config.run import Run
from vi.data.density_binary import BinaryTable, DensityBinary, files_of
from vi.errors import ConfigurationError, DataError

# {name: (number of variables, sizes of the splits, nats of the independent model)}
SETS = {
    "nltcs": (16, (16181, 2157, 3236), 9.234),
    "plants": (69, (17412, 2321, 3482), 31.266),
    "baudio": (100, (15000, 2000, 3000), 49.337),
    "jester": (100, (9000, 1000, 4116), 63.883),
    "bnetflix": (100, (15000, 2000, 3000), 64.561),
    "accidents": (111, (12758, 1700, 2551), 45.560),
    "mushrooms": (112, (2000, 500, 5624), 34.232),
    "dna": (180, (1600, 400, 1186), 100.386),
    "nips": (500, (400, 100, 1240), 294.802),
}
PARTS = {"train": "train", "valid": "val", "test": "test"}
NLTCS = [f"density_binary/nltcs/nltcs.{part}.data" for part in PARTS]


def present(name, real):
    for known in files_of(name):
        real(known.name)
    return DensityBinary(name).load()


def independent_nats(train, test):
    """Of an independent Bernoulli model with Laplace's rule, on the test data."""
    ones = (train.double().sum(0) + 1) / (len(train) + 2)
    return -torch.where(test == 1, ones.log(), (1 - ones).log()).sum(1).mean().item()


def test_every_set_is_listed():
    assert set(get_args(BinaryTable)) == set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_an_option(name):
    assert composed("train", [f"data={name}"], Run)["data"]["name"] == name


@pytest.mark.parametrize("name", SETS)
def test_sizes_bits_and_facts(name, real):
    data = present(name, real)
    width, sizes, _ = SETS[name]
    parts = {"train": data.train, "val": data.val, "test": data.test}
    assert (data.shape, tuple(len(split) for split in parts.values())) == ((width,), sizes)
    for split in parts.values():
        assert split.stored.dtype == torch.uint8
        assert split.stored.unique().tolist() == [0, 1]
    assert data.facts["data/name"] == name
    assert data.facts["data/binarize"] == "static"
    digests = [v for k, v in data.facts.items() if k.startswith("data/sha256")]
    assert digests == [known.sha256 for known in files_of(name)]


@pytest.mark.parametrize("name", SETS)
def test_the_independent_model_has_its_known_number(name, real):
    """Caught: columns read as rows, bits inverted in the test split."""
    data = present(name, real)
    nats = independent_nats(data.train.stored, data.test.stored)
    assert nats == pytest.approx(SETS[name][2], abs=6e-4)


@pytest.mark.parametrize("part", PARTS)
def test_the_text_of_a_file_can_be_written_again(part, real):
    """Caught: bits inverted in every split, which no likelihood of one's own fit can see."""
    text = real(f"density_binary/nltcs/nltcs.{part}.data").read_text()
    stored = getattr(present("nltcs", real), PARTS[part]).stored
    assert [",".join(map(str, row)) for row in stored.tolist()] == text.split()


def test_an_unknown_set_is_refused():
    with pytest.raises(ConfigurationError, match="no binary table 'nltc'") as caught:
        files_of("nltc")
    assert "nltcs" in caught.value.hint


def test_one_missing_file_is_enough_to_name_all_three(writable_copy):
    root = writable_copy(*NLTCS[:2])
    with pytest.raises(DataError, match=f"nltcs not found in {root}") as caught:
        DensityBinary(dir=str(root)).load()
    for known in files_of("nltcs"):
        assert known.published in caught.value.hint
    assert str(root / "density_binary" / "nltcs") in caught.value.hint


def test_one_changed_byte_is_found_and_a_gz_is_read(writable_copy):
    root = writable_copy(*NLTCS)
    path = root / NLTCS[1]
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DataError, match=f"{path} is damaged"):
        DensityBinary(dir=str(root)).load()
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    assert len(DensityBinary(dir=str(root)).load().val) == 2157


def test_two_epochs_from_the_command_line_beat_the_uniform_model(real, tmp_path):
    present("nltcs", real)
    chosen = ["data=nltcs", "hidden=[20]", "trainer.max_epochs=2", "evaluation.num_samples=10"]
    plain = composed("train", [*chosen, "callbacks=null", "logger=null"], Run)
    assert plain["num_components"] == 20
    train(Run(**plain), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data/file"] == "nltcs.train.data"
    assert metrics["test/elbo"] > -16 * torch.tensor(2.0).log().item()


@pytest.mark.slow
def test_a_continuous_latent_explains_nltcs(real, tmp_path):
    """Better than -6.10 nats, which the independent model (-9.23) is far from."""
    present("nltcs", real)
    chosen = composed("train", ["data=nltcs", "bound=iwae", "bound.num_samples=10"], Run)
    train(Run(**chosen), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    error = metrics["test/log_likelihood_se"]
    assert metrics["test/log_likelihood"] - 4 * error > -6.10
    assert error < 0.005

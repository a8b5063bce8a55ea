"""Counts in bytes that were taken for grey levels: the hint names the option that mends it."""

import numpy as np
import pytest

import vi
from vi.data.loading import loaded
from vi.data.npz import NPZ
from vi.errors import DataError
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings


@pytest.fixture
def path(tmp_path):
    """Bytes from 0 to 59, (20, 3)."""
    np.savez(tmp_path / "a.npz", x=np.arange(60, dtype=np.uint8).reshape(20, 3))
    return str(tmp_path / "a.npz")


def model(likelihood):
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), likelihood)
    return vi.VAE((3,), network, network, *parts)


def hint(data, model):
    with pytest.raises(DataError) as caught:
        check_data(loaded(data), model, TrainerSettings())
    return caught.value.hint


@pytest.mark.parametrize("likelihood", [vi.Poisson, vi.NegativeBinomial])
def test_counts_in_bytes_need_one_level(path, likelihood):
    """Caught: "binarise", which is right for pictures only."""
    assert hint(NPZ(path), model(likelihood())).startswith("data.levels=1 or data.binarize")
    check_data(loaded(NPZ(path, levels=1)), model(likelihood()), TrainerSettings())


def test_a_mixture_of_poissons_too(path):
    assert hint(NPZ(path), vi.PoissonMixture((3,), 2)).startswith("data.levels=1 or ")
    check_data(loaded(NPZ(path, levels=1)), vi.PoissonMixture((3,), 2), TrainerSettings())


def test_no_more_is_promised_than_helps(path):
    """Bits are no counts up to 59, and one level is one level already."""
    assert "data.levels" not in hint(NPZ(path), model(vi.Bernoulli()))
    assert "data.levels" not in hint(NPZ(path, levels=1), model(vi.Bernoulli()))

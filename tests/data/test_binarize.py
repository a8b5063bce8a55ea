"""Grey levels become bits with exactly their probability, and evaluation bits stay the same."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vi.data.base import DynamicBits
from vi.data.binarize import fixed_bits, split_of
from vi.errors import ConfigurationError

MODES = ("dynamic", "static", "none")


def grey_ramp(levels, n):
    """n items, each with every grey level once."""
    return torch.arange(levels + 1, dtype=torch.uint8).expand(n, levels + 1).contiguous()


def make(grey, *, levels=255, binarize="dynamic", number=0, seed=0):
    return split_of(grey, {}, levels=levels, binarize=binarize, number=number, seed=seed)


@pytest.mark.parametrize("levels", [16, 255])
@pytest.mark.parametrize(("binarize", "number"), [("dynamic", 0), ("dynamic", 1), ("static", 0)])
def test_bits_have_the_probability_of_their_grey_level(levels, binarize, number):
    """40,000 draws per level, seed 0, 4 standard errors over 257 levels: fails once in 60 seeds.

    The extremes are exact: tried against levels + 1 random levels (256 for bytes), where the
    highest level is 0 once in 256 draws.
    """
    n = 40_000
    split = make(grey_ramp(levels, n), levels=levels, binarize=binarize, number=number)
    bits = split.values(torch.arange(n))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert (bits[:, 0] == 0).all()
    assert (bits[:, -1] == 1).all()
    p = torch.arange(levels + 1) / levels
    error = (bits.mean(0) - p).abs()
    assert (error <= 4 * (p * (1 - p) / n).sqrt() + 1e-6).all()


def test_training_bits_are_fresh_at_every_visit():
    split = make(torch.full((50, 20), 127, dtype=torch.uint8))
    index = torch.arange(50)
    assert not torch.equal(split.values(index), split.values(index))


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100])
def test_evaluation_bits_do_not_depend_on_the_batch_size_or_the_random_state(batch_size):
    grey = torch.full((100, 20), 127, dtype=torch.uint8)
    whole = make(grey, number=1, seed=3).values(torch.arange(100))
    split = make(grey, number=1, seed=3)
    torch.manual_seed(batch_size)
    blocks = [split.values(index) for index in torch.arange(100).split(batch_size)]
    assert torch.equal(torch.cat(blocks), whole)


def test_evaluation_bits_are_a_function_of_seed_and_split():
    grey = torch.full((100, 20), 127, dtype=torch.uint8)
    bits = [
        make(grey, number=number, seed=seed).stored for number, seed in [(1, 0), (2, 0), (1, 1)]
    ]
    assert torch.equal(bits[0], make(grey, number=1, seed=0).stored)
    assert not torch.equal(bits[0], bits[1])
    assert not torch.equal(bits[0], bits[2])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_static_bits_are_the_same_for_every_seed(number):
    grey = torch.full((100, 20), 127, dtype=torch.uint8)
    one, other = (make(grey, binarize="static", number=number, seed=s).stored for s in (0, 7))
    assert torch.equal(one, other)


@pytest.mark.parametrize("levels", [16, 255])
def test_none_divides_by_the_levels(levels):
    x = make(grey_ramp(levels, 1), levels=levels, binarize="none").values(torch.tensor([0]))[0]
    assert torch.equal(x, torch.arange(levels + 1) / levels)
    assert x[-1] == 1


@given(st.integers(1, 255), st.data())
def test_no_bit_contradicts_a_certain_level(levels, data):
    grey = torch.tensor(data.draw(st.lists(st.sampled_from([0, levels]), min_size=1)))
    bits = fixed_bits(grey.to(torch.uint8), levels, torch.Generator())
    assert torch.equal(bits, (grey == levels).to(torch.uint8))


@pytest.mark.parametrize("binarize", MODES)
def test_data_stay_bytes(binarize):
    assert make(grey_ramp(255, 2), binarize=binarize).stored.dtype == torch.uint8


def test_bits_are_refused_where_there_are_no_grey_levels():
    with pytest.raises(ConfigurationError, match="needs grey levels"):
        make(torch.rand(3, 2))


def test_an_unknown_way_is_refused():
    with pytest.raises(ConfigurationError, match="'sometimes'"):
        make(grey_ramp(255, 1), binarize="sometimes")


def test_the_mean_of_dynamic_bits_is_the_mean_grey_level():
    """10^6 bits, seed 0, 4 standard errors: fails once in 16,000 seeds."""
    grey = torch.randint(0, 256, (1000, 1000), dtype=torch.uint8)
    mean = make(grey).values(torch.arange(1000)).mean().item()
    assert abs(mean - grey.double().mean().item() / 255) <= 4 * math.sqrt(0.25 / 1e6)


def test_frozen_bits_are_drawn_once_for_a_seed_and_a_shape():
    """Caught: bits of another seed, and of the shape before the data were viewed anew."""
    grey = torch.arange(256, dtype=torch.uint8).repeat(50).reshape(50, 256)
    split = DynamicBits(grey)
    bits = split.frozen(1)
    assert split.frozen(1) is bits
    assert not torch.equal(split.frozen(2).stored, bits.stored)
    assert torch.equal(split.frozen(1).stored, bits.stored)
    viewed = split.viewed((16, 16)).frozen(1)
    assert viewed.stored.shape == (50, 16, 16)
    assert torch.equal(viewed.stored.flatten(1), bits.stored)
    assert torch.equal(split.frozen(1).stored, bits.stored)
    assert bits.stored[:, 0].sum() == 0
    assert bits.stored[:, 255].sum() == 50

"""Splits are partitions, the same everywhere."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vi.data.partition import (
    generator,
    held_out,
    permutation,
    require_fractions,
    require_size,
)
from vi.data.source import Items, assemble, one_hot, random_parts, random_source
from vi.errors import ConfigurationError, DataError


@given(st.integers(3, 60), st.integers(0, 5), st.integers(0, 5), st.integers(-5, 2**70))
def test_random_parts_are_a_partition(n, validation, test, seed):
    validation, test = min(validation, (n - 1) // 2), min(test, (n - 1) // 2)
    items = Items(torch.arange(n), torch.arange(n) * 2)
    train, val, rest = random_parts(items, validation=validation, test=test, seed=seed)
    parts = [part for part in (train, val, rest if test else None) if part is not None]
    assert torch.equal(torch.cat([part.stored for part in parts]).sort().values, items.stored)
    assert all(torch.equal(part.labels, part.stored * 2) for part in parts)
    assert (val is None) == (validation == 0)
    assert len(rest) == (test or len(train))


def test_permutations_are_those_of_numpys_frozen_stream():
    assert permutation(8, 1).tolist() == [7, 2, 1, 6, 0, 4, 3, 5]


@given(st.integers(1, 10**6), st.floats(0, 0.5))
def test_the_nearest_number_is_held_out(n, fraction):
    assert abs(held_out(n, fraction) - n * fraction) <= 1
    assert (held_out(n, fraction) == 0) == (fraction == 0)


@given(st.integers(-(2**80), 2**80), st.integers(0, 3), st.integers(0, 3))
def test_generators_are_a_function_of_all_keys(seed, a, b):
    same = generator(seed, a, b).initial_seed() == generator(seed, a, b).initial_seed()
    swapped = generator(seed, a, b).initial_seed() == generator(seed, b, a).initial_seed()
    assert same
    assert swapped == (a == b)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (-0.1, 0.1), (0.1, 1.0), (float("nan"), 0.1)])
def test_fractions_that_leave_nothing_are_refused(fractions):
    with pytest.raises(ConfigurationError, match="sum below 1"):
        require_fractions(*fractions)


@pytest.mark.parametrize("size", [-1, 10])
def test_sizes_that_leave_nothing_are_refused(size):
    with pytest.raises(ConfigurationError, match=r"0 \.\. 9"):
        require_size("validation_size", size, 10)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_items_for_three_splits_are_refused(n, tmp_path):
    items = Items(torch.zeros(n, 2))
    with pytest.raises(DataError, match=f"{n} items, at least 3"):
        random_source(items, tmp_path, fractions=(0.1, 0.1), seed=0, facts={})


def test_without_test_items_the_facts_say_what_is_tested(tmp_path):
    items = Items(torch.arange(5))
    source = random_source(items, tmp_path, fractions=(0.0, 0.0), seed=0, facts={})
    assert torch.equal(source.test.stored, source.train.stored)
    assert "test split is the training split" in source.facts["data/split"]


def test_static_bits_that_are_tested_are_those_of_the_training(tmp_path):
    """Caught: other bits of the same grey levels."""
    items = Items(torch.full((5, 40), 127, dtype=torch.uint8))
    facts = {"data/name": "grey"}
    source = random_source(items, tmp_path, fractions=(0, 0), seed=0, facts=facts, levels=255)
    data = assemble(source, binarize="static")
    assert torch.equal(data.test.stored, data.train.stored)


@given(st.lists(st.integers(0, 4), min_size=1))
def test_one_hot_rows_mark_their_label(labels):
    rows = one_hot(torch.tensor(labels), 5)
    assert rows.argmax(1).tolist() == labels
    assert torch.equal(rows.sum(1), torch.ones(len(labels)))

"""Arrays of a user: which array, which levels, which split."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from vi.data.npz import NPZ
from vi.errors import ConfigurationError, DataError


@pytest.fixture
def npz(tmp_path):
    """Write arrays and give the path of their file."""

    def write(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return str(tmp_path / "a.npz")

    return write


BYTES = np.arange(0, 250, 5, dtype=np.uint8).reshape(10, 5)
dtypes = st.sampled_from([np.uint8, np.int64, np.float32, np.bool_])
shapes = nst.array_shapes(min_dims=2, max_dims=4, min_side=3, max_side=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dtypes.flatmap(lambda d: nst.arrays(d, shapes, elements={"min_value": 0, "max_value": 1})))
def test_every_event_shape_and_type_is_read_whole(npz, array):
    data = NPZ(npz(x=array)).load()
    assert data.shape == array.shape[1:]
    parts = [split.values(torch.arange(len(split))) for split in (data.train, data.val, data.test)]
    whole = torch.cat(parts).flatten(1).tolist()
    assert sorted(whole) == sorted(array.reshape(len(array), -1).astype(np.float32).tolist())


def test_a_vector_is_items_of_one_number(npz):
    assert NPZ(npz(x=np.arange(10.0))).load().shape == (1,)


def test_bytes_stay_bytes_and_255_is_one(npz):
    data = NPZ(npz(x=BYTES)).load()
    assert data.train.stored.dtype == torch.uint8
    x = data.train.values(torch.arange(len(data.train)))
    assert torch.equal(x, data.train.stored / 255)
    assert data.facts["data/levels"] == 255


@pytest.mark.parametrize(
    ("array", "levels", "expected"), [(BYTES, 1, 1), (BYTES % 2, None, 1), (BYTES, 16, 16)]
)
def test_counts_and_bits_in_bytes_keep_their_values(npz, array, levels, expected):
    data = NPZ(npz(x=array), levels=levels).load()
    x = data.train.values(torch.arange(len(data.train)))
    assert torch.equal(x, data.train.stored / expected)
    assert data.facts["data/levels"] == expected


def test_bytes_may_be_binarised(npz):
    data = NPZ(npz(x=BYTES), binarize="dynamic").load()
    assert set(data.train.values(torch.arange(8)).unique().tolist()) <= {0.0, 1.0}
    assert set(data.test.stored.unique().tolist()) <= {0, 1}


def test_the_only_array_x_or_the_key_is_taken(npz):
    one, two = np.ones((4, 2)), np.zeros((4, 3))
    assert NPZ(npz(anything=one)).load().shape == (2,)
    assert NPZ(npz(x=one, y=two)).load().shape == (2,)
    assert NPZ(npz(x=one, y=two), key="y").load().shape == (3,)


def test_a_file_with_splits_keeps_them(npz):
    parts = {"train": np.zeros((5, 2)), "val": np.ones((3, 2)), "test": np.full((2, 2), 2.0)}
    data = NPZ(npz(**parts)).load()
    for name, split in [("train", data.train), ("val", data.val), ("test", data.test)]:
        assert np.array_equal(split.stored.numpy(), parts[name])
    without = NPZ(npz(train=parts["train"], test=parts["test"])).load()
    assert without.val is None
    assert without.facts["data/n_val"] == 0


def test_one_split_with_more_than_bits_makes_grey_levels_of_all(npz):
    bits, grey = np.ones((3, 2), np.uint8), np.full((3, 2), 255, np.uint8)
    data = NPZ(npz(train=bits, test=grey)).load()
    assert torch.equal(data.train.values(torch.tensor([0])), torch.ones(1, 2) / 255)


def test_a_single_npy_array_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    assert NPZ(str(tmp_path / "a.npy")).load().shape == (2,)


@pytest.mark.parametrize(
    ("arrays", "key", "match"),
    [
        ({"a": BYTES, "b": BYTES}, None, "holds 2 arrays: a, b"),
        ({"a": BYTES}, "z", "no array 'z'"),
        ({"a": np.array(["text"])}, None, "dtype <U4"),
        ({"a": np.zeros((3, 2), complex)}, None, "dtype complex128"),
        ({"a": np.array(3.0)}, None, r"shape \(\)"),
        ({"a": np.zeros((0, 4))}, None, "0 items"),
        ({"train": np.zeros((3, 2)), "test": np.zeros((3, 4))}, None, "differ in shape"),
        ({"train": np.zeros((3, 2)), "test": np.zeros((0, 2))}, None, "holds no items"),
        ({}, None, "holds 0 arrays"),
    ],
)
def test_what_cannot_be_data_is_refused(npz, arrays, key, match):
    with pytest.raises(DataError, match=match) as caught:
        NPZ(npz(**arrays), key=key).load()
    assert "\n" not in str(caught.value) + caught.value.hint


def test_options_that_cannot_be_right_are_refused(npz):
    with pytest.raises(ConfigurationError, match="levels"):
        NPZ("a.npz", levels=0)
    with pytest.raises(ConfigurationError, match="sum below 1"):
        NPZ("a.npz", validation_fraction=1.0)
    with pytest.raises(ConfigurationError, match="needs grey levels"):
        NPZ(npz(x=np.random.rand(10, 2)), binarize="dynamic").load()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        NPZ(str(tmp_path / "no.npz")).load()

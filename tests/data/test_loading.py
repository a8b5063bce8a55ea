"""What is given to training as data: a data set, or one sentence that says what it is instead."""

import inspect

import numpy as np
import pytest
import torch

import vi
from tests.support.tiny import vae
from vi.data.base import DataSet, LoadedData, Values
from vi.data.digits import Digits
from vi.data.loading import loaded
from vi.errors import DataError

X = torch.zeros(5, 6)
VALUES = Values(X)


def refuse(match, data):
    with pytest.raises(DataError, match=match) as caught:
        loaded(data)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (X, r"data is not a data set: it is a Tensor of shape \(5, 6\)"),
        (X.numpy(), r"it is a ndarray of shape \(5, 6\)"),
        ([1.0, 2.0], "it is a list"),
        ("digits", "it is 'digits'"),
        (None, "it is None"),
        (3, "it is 3"),
        (Digits, "it is the class Digits, not one of its instances"),
        (VALUES, "it is a Values"),
        (torch.utils.data.TensorDataset(X), "it is a TensorDataset"),
    ],
)
def test_what_is_no_data_set_is_named(data, match):
    refuse(match, data)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ((X, None, VALUES), r"the train split is not a split of data: it is a Tensor of shape"),
        ((VALUES, X, VALUES), "the val split is not a split"),
        ((VALUES, None, None), "the test split is not a split of data: it is None"),
        ((VALUES, None, [1.0]), "the test split is not a split of data: it is a list"),
    ],
)
def test_what_is_no_split_is_named(parts, match):
    refuse(match, made(*parts))


def made(*parts):
    """Loaded data, past the checks of types that only tests have."""
    data = object.__new__(LoadedData)
    names = ("train", "val", "test", "shape", "context_dim", "facts", "option")
    for name, value in zip(names, (*parts, (6,), 0, {}, None), strict=True):
        object.__setattr__(data, name, value)
    return data


def split(stored, **given):
    values = object.__new__(Values)
    values.stored, values.given, values.levels = stored, given, 1
    return values


@pytest.mark.parametrize(
    ("stored", "given", "match"),
    [
        (np.zeros((5, 6)), {}, r"not a split of data: it is a ndarray of shape \(5, 6\)"),
        (torch.tensor(1.0), {}, "the train split is a single number"),
        (X, {"context": X[:3]}, r"has 5 items; its 'context' is a Tensor of shape \(3, 6\)"),
        (X, {"context": torch.tensor(1.0)}, r"its 'context' is a Tensor of shape \(\)"),
        (X, {"context": [0] * 5}, "its 'context' is a list"),
    ],
)
def test_splits_that_cannot_be_are_refused(stored, given, match):
    refuse(match, made(split(stored, **given), None, VALUES))


def test_missing_entries_have_a_row_for_each_item():
    refuse("its 'observed'", made(VALUES.with_observed(torch.ones(3, 6) > 0), None, VALUES))


def test_a_data_set_is_loaded_and_remembered():
    data = loaded(Digits(binarize="none"))
    assert len(data.train) == 1397
    assert isinstance(data.option, DataSet)
    assert loaded(data) is data


def test_training_asks_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="data is not a data set: it is a Tensor"):
        inspect.unwrap(vi.fit)(vae(), X)
    empty = LoadedData(Values(X[:0]), None, VALUES, (6,))
    with pytest.raises(DataError, match="the train split is empty"):
        vi.fit(vae(), empty)
    assert not list(tmp_path.iterdir())

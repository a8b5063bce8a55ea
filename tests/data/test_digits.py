"""The offline default: complete, split once, labelled rightly."""

import pytest
import torch

import vi.data.digits as digits
from vi.data.digits import Digits
from vi.errors import DataError


def splits(data):
    return data.train, data.val, data.test


def rows(split):
    pixels, labels = split.stored.flatten(1), split.given["context"].argmax(1, keepdim=True)
    return torch.cat((pixels, labels), 1)


def test_the_splits_are_a_partition_of_scikit_learns_digits():
    from sklearn.datasets import load_digits

    shipped = load_digits()
    images = torch.from_numpy(shipped.data).to(torch.uint8)
    original = torch.cat((images, torch.from_numpy(shipped.target)[:, None]), 1).tolist()
    data = Digits(binarize="none", context="label").load()
    ours = torch.cat([rows(split) for split in splits(data)]).tolist()
    assert sorted(ours) == sorted(original)
    assert [len(split) for split in splits(data)] == [1397, 200, 200]


def test_the_split_is_the_same_for_every_seed():
    one, other = (Digits(binarize="none").load(seed) for seed in (0, 1))
    for a, b in zip(splits(one), splits(other), strict=True):
        assert torch.equal(a.stored, b.stored)


def test_the_highest_level_is_one():
    x = Digits(binarize="none").load().train.values(torch.arange(1397))
    assert x.shape == (1397, 1, 8, 8)
    assert (x.min(), x.max()) == (0, 1)


def test_every_split_holds_every_digit():
    for split in splits(Digits(context="label").load()):
        assert (split.given["context"].sum(0) > 0).all()


def test_evaluation_bits_are_a_function_of_the_seed():
    a, b, c = (Digits().load(seed) for seed in (0, 0, 1))
    assert torch.equal(a.val.stored, b.val.stored)
    assert torch.equal(a.test.stored, b.test.stored)
    assert not torch.equal(a.test.stored, c.test.stored)


def test_the_facts_say_what_was_done():
    facts = Digits().load().facts
    assert facts["data/name"] == "digits"
    assert (facts["data/binarize"], facts["data/levels"]) == ("dynamic", 16)
    assert [facts[f"data/n_{s}"] for s in ("train", "val", "test")] == [1397, 200, 200]


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    import gzip

    path = tmp_path / "digits.csv.gz"
    path.write_bytes(gzip.compress(b"0,1\n"))
    monkeypatch.setattr(digits, "_shipped", lambda: path)
    with pytest.raises(DataError, match="damaged"):
        Digits().load()


def test_without_scikit_learn_another_data_set_is_offered(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="not found") as caught:
        Digits().load()
    assert "data=mnist" in caught.value.hint

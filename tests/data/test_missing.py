"""Entries that a file leaves out and entries that are hidden: never seen, never lost."""

import math

import numpy as np
import pytest
import torch

from vi.cli.composing.compose import composed
from vi.config.registry import options, resolve, target_of
from vi.config.run import Run
from vi.data.base import DynamicBits, Values
from vi.data.csv import CSV
from vi.data.digits import Digits
from vi.data.grey_images import GreyImages
from vi.data.missing import hide, mask_nan
from vi.data.npz import NPZ
from vi.data.source import Items, Source, assemble
from vi.errors import ConfigurationError, DataError
from vi.training.processes import Processes

BAR = 4.75  # a t-value above this has probability 2e-6


def parts(data):
    return [split for split in (data.train, data.val, data.test) if split is not None]


def everything(split):
    return split.batch(torch.arange(len(split)))


def masks(data):
    return [split.observed for split in parts(data)]


@pytest.fixture
def table(tmp_path):
    """Write a table and give its path."""

    def write(content):
        (tmp_path / "t.csv").write_text(content)
        return str(tmp_path / "t.csv")

    return write


def whole(path, **arguments):
    """All rows, in one split."""
    return CSV(path, validation_fraction=0.0, test_fraction=0.0, **arguments).load()


# ------------------------------------------------------------------- what a file leaves out


def test_an_empty_cell_leaves_x_and_is_told(table):
    """x is 0 there, given["observed"] False. Caught: observed and missing exchanged."""
    data = whole(table("a,b\n1,2\n,4\n5,NA\n"), missing="mask")
    batch = everything(data.train)
    rows = {tuple(x): tuple(o) for x, o in zip(*map(torch.Tensor.tolist, (
        batch.x, batch.given["observed"])), strict=True)}  # fmt: skip
    assert rows == {(1, 2): (True, True), (0, 4): (False, True), (5, 0): (True, False)}
    assert data.train.stored.isnan().sum() == 2
    assert data.facts["data/n_missing"] == 2


def test_where_nothing_is_missing_nothing_is_different(table):
    """Bit by bit, and no mask. Caught: a mask of ones where nothing is missing."""
    path = table("\n".join(f"{i},{i / 7}" for i in range(20)))
    one, other = CSV(path).load(), CSV(path, missing="mask").load()
    for a, b in zip(parts(one), parts(other), strict=True):
        assert torch.equal(a.stored, b.stored)
        assert b.observed is None
        assert everything(b).given == {}
    assert one.facts == other.facts


def test_a_column_without_a_value_is_refused(table):
    with pytest.raises(DataError, match="'b' of .* has no value in any line"):
        whole(table("a,b\n1,\n2,?\n"), missing="mask")


def test_an_entry_that_no_training_datum_has_is_refused(tmp_path):
    train, test = np.array([[1, np.nan], [2, np.nan]]), np.ones((2, 2))
    np.savez(tmp_path / "a.npz", train=train, test=test)
    with pytest.raises(DataError, match=r"1 of 2 entries .* in all 2 training data .*entry 1"):
        NPZ(str(tmp_path / "a.npz"), missing="mask").load()


def test_arrays_may_have_holes(tmp_path):
    x = np.arange(24.0).reshape(8, 3)
    x[::2, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x)
    data = NPZ(str(tmp_path / "a.npz"), missing="mask").load()
    assert torch.equal(torch.cat(masks(data)), ~torch.cat([s.stored for s in parts(data)]).isnan())
    np.savez(tmp_path / "b.npz", train=x, test=x[1::2])
    own = NPZ(str(tmp_path / "b.npz"), missing="mask").load()
    assert int((~own.train.observed).sum()) == 4
    assert own.test.observed is None


# --------------------------------------------------------------------- what is hidden


def test_about_that_fraction_is_hidden_in_every_split():
    """1397 x 64 pixels and fewer, seed 0: |t| <= 4.75."""
    for mask in masks(Digits(hidden_fraction=0.3).load()):
        error = math.sqrt(0.3 * 0.7 / mask.numel())
        assert abs((~mask).float().mean().item() - 0.3) <= BAR * error


def test_what_is_hidden_is_a_function_of_split_and_datum_alone():
    """Not of the run's seed, the bits, or the random state; and no two splits share a mask.

    Caught: the run's seed as the seed; one stream for all splits.
    """
    one = masks(Digits(hidden_fraction=0.5).load(0))
    torch.manual_seed(7)
    other = masks(Digits(hidden_fraction=0.5, binarize="none").load(1))
    assert all(map(torch.equal, one, other))
    assert not torch.equal(one[1], one[2])
    assert not torch.equal(one[0][:200], one[1])


def test_the_mask_of_a_datum_does_not_depend_on_how_many_follow():
    source = lambda n: Source(Items(torch.zeros(n, 7)), None, Items(torch.zeros(3, 7)))
    few, many = (hide(source(n), 0.5, seed=3).train.observed for n in (50, 400))
    assert torch.equal(few, many[:50])
    assert not torch.equal(few, hide(source(50), 0.5, seed=4).train.observed)


def test_the_truth_is_kept():
    """What a datum would have been is still in its split. Caught: zeros written into it."""
    hidden, plain = Digits(hidden_fraction=0.5).load(), Digits().load()
    for a, b in zip(parts(hidden), parts(plain), strict=True):
        assert torch.equal(a.stored, b.stored)
    index = torch.arange(200)
    batch, truth = hidden.test.batch(index), plain.test.values(index)
    assert torch.equal(hidden.test.values(index), truth)
    assert torch.equal(batch.x, truth * batch.given["observed"])


def test_bits_are_drawn_anew_and_stay_hidden():
    """Dynamic bits: two visits differ where pixels are shown, and are 0 where they are not."""
    split = Digits(hidden_fraction=0.5).load().train
    assert isinstance(split, DynamicBits)
    one, other = everything(split), everything(split)
    seen = one.given["observed"]
    assert torch.equal(seen, other.given["observed"])
    assert not torch.equal(one.x, other.x)
    assert one.x[~seen].abs().max() == other.x[~seen].abs().max() == 0


def test_frozen_bits_are_those_of_the_whole_pictures_and_stay_hidden():
    hidden, plain = Digits(hidden_fraction=0.5).load().train, Digits().load().train
    frozen = hidden.frozen(5)
    assert isinstance(frozen, Values)
    assert torch.equal(frozen.observed, hidden.observed)
    assert torch.equal(frozen.stored, plain.frozen(5).stored)
    assert hidden.frozen(5) is frozen
    assert torch.equal(everything(frozen).x, everything(hidden.frozen(5)).x)


def test_a_split_that_was_frozen_before_does_not_forget_what_is_hidden():
    """Caught: the bits kept from before, without the mask."""
    split = DynamicBits(torch.full((3, 4), 128, dtype=torch.uint8))
    split.frozen(0)
    observed = torch.rand(3, 4) < 0.5
    assert torch.equal(split.with_observed(observed).frozen(0).observed, observed)
    assert split.frozen(0).observed is None


def test_another_view_and_another_device_keep_what_is_hidden():
    data = Digits(hidden_fraction=0.5).load()
    flat = data.viewed((64,)).train.to("cpu")
    assert torch.equal(flat.observed, data.train.observed.flatten(1))
    assert everything(flat).x.shape == (1397, 64)
    assert torch.equal(flat.frozen(0).observed, flat.observed)


def test_the_shares_of_several_processes_make_the_batch():
    split = Digits(hidden_fraction=0.5, binarize="none").load().train
    index = torch.randperm(1397)[:101]
    batch = split.batch(index)
    for rank in range(2):
        share = split.batch(Processes(rank, 2).share(index).index)
        assert torch.equal(share.x, batch.x[rank::2])
        assert torch.equal(share.given["observed"], batch.given["observed"][rank::2])


def test_hidden_and_missing_add_up(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 5))
    x[:100, 0] = np.nan
    np.savez(tmp_path / "a.npz", x=x)
    for split in parts(NPZ(str(tmp_path / "a.npz"), missing="mask", hidden_fraction=0.5).load()):
        assert not split.observed[split.stored.isnan()].any()
        shown = split.observed[~split.stored.isnan()].float().mean().item()
        assert 0.2 < shown < 0.8


def test_training_data_that_are_the_test_data_hide_the_same(tmp_path):
    """Else the model would have seen what is hidden in the test split. Caught: two masks."""
    np.savez(tmp_path / "a.npz", x=np.arange(40.0).reshape(10, 4))
    data = NPZ(str(tmp_path / "a.npz"), test_fraction=0.0, hidden_fraction=0.5).load()
    assert torch.equal(data.train.observed, data.test.observed)


def test_nothing_hidden_changes_nothing():
    source = Source(Items(torch.zeros(3, 2)), None, Items(torch.zeros(3, 2)))
    assert hide(source, 0.0, seed=0) is source
    data = Digits(hidden_fraction=0.0).load()
    assert masks(data) == [None, None, None]
    assert "data/hidden" not in data.facts
    assert Digits(hidden_fraction=0.5).load().facts["data/hidden"] == 0.5


@pytest.mark.parametrize("fraction", [-0.1, 1.0, math.nan])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(
        ConfigurationError, match="data.hidden_fraction must be at least 0 and below 1"
    ):
        Digits(hidden_fraction=fraction)


def test_an_entry_that_is_hidden_in_all_training_data_is_refused():
    items = mask_nan(Items(torch.tensor([[1.0, torch.nan], [2.0, torch.nan]])))
    with pytest.raises(DataError, match="1 of 2 entries of x are missing in all 2"):
        assemble(Source(items, None, items, facts={"data/name": "x"}))


GREY = [
    name
    for name in options("data")
    if issubclass(resolve(target_of("data", name), "data"), GreyImages)
]


@pytest.mark.parametrize("name", GREY)
def test_every_set_of_pictures_can_hide(name):
    """A new yaml of grey pictures offers data.hidden_fraction."""
    path = ["data.path=x"] if name in ("npz", "image_folder") else []
    composed("train", [f"data={name}", *path, "data.hidden_fraction=0.5"], Run)

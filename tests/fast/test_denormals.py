"""Numbers too small to be normal are 0 while training, in every thread."""

import copy

import lightning.pytorch as pl
import pytest
import torch

import vi
from tests.support.tiny import D, vae
from vi.data.base import LoadedData, Values
from vi.fast.denormals import denormals_flushed
from vi.fast.threads import threads
from vi.optimizers.adam import Adam

MANY = 1 << 20  # entries, so that two threads share them


def denormals() -> int:
    """How many of the products of a small number are denormal; compared as integers."""
    halves = torch.full((MANY,), 1e-39, dtype=torch.float32) * 0.5
    return int((halves.view(torch.int32) != 0).sum())


def test_every_thread_flushes_within_the_block_and_none_after_it():
    """Caught: only the thread that asks flushes, so that half of the products stay."""
    with threads(2, torch.nn.Identity(), 1):
        assert denormals() == MANY
        with denormals_flushed():
            assert denormals() == 0
        assert denormals() == MANY


def test_who_flushes_already_goes_on_to_do_so():
    with denormals_flushed():
        with denormals_flushed():
            assert denormals() == 0
        assert denormals() == 0
    assert denormals() == MANY


def test_the_moments_of_what_has_no_gradient_end_at_zero():
    """After 1000 steps without a gradient; else they stay above zero for ever."""
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = Adam([weight], fused=True)
    weight.grad = torch.ones(4)
    optimizer.step()
    start = copy.deepcopy(optimizer.state_dict())
    weight.grad = torch.zeros(4)

    def moments() -> torch.Tensor:
        optimizer.load_state_dict(copy.deepcopy(start))
        for _ in range(1000):
            optimizer.step()
        return optimizer.state[weight]["exp_avg"].view(torch.int32)

    assert (moments() != 0).all()
    with denormals_flushed():
        assert (moments() == 0).all()


class Watch(pl.Callback):
    """Looks from within the training."""

    def on_train_batch_end(self, *_):
        self.denormals = denormals()


@pytest.mark.parametrize("flushed", [True, False])
def test_training_flushes_unless_told_otherwise(tmp_path, flushed):
    """Caught: a setting that nobody reads."""
    watch, bits = Watch(), Values(torch.eye(D))
    data = LoadedData(bits, bits, bits, shape=(D,))
    settings = {"flush_denormals": flushed, "progress_bar": False, "threads": 2, "loggers": []}
    vi.fit(vae(), data, epochs=1, run_dir=tmp_path, callbacks=[watch], **settings)
    assert watch.denormals == (0 if flushed else MANY)
    assert denormals() == MANY

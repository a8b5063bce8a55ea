"""Several optimiser steps a call of Lightning: every law of a run, whatever their number."""

import math
from functools import partial

import pytest
import torch
from torch.optim import SGD

import vi
from tests.support.boundaries import (
    BEST,
    DECAY,
    EPOCH,
    MARKS,
    STEPS,
    N,
    calls,
    periodic,
    rise_and_fall,
    run,
    same_path,
    saved,
    still,
    two_calls,
    weights_of,
)
from tests.support.tiny import mixture
from vi.errors import NumericsError
from vi.training.callbacks import progress
from vi.training.callbacks.progress import line

pytestmark = MARKS


def test_max_steps_is_a_number_of_optimiser_steps(tmp_path):
    """In an epoch of 68, with no other boundary.

    Caught: a call that goes on to its 50th step; calls counted for steps; noise that is a
    function of the call.
    """
    options = {"batch_size": 4, "log_every_n_steps": 1000, "max_steps": STEPS}
    one, other = (run(tmp_path / str(n), steps_per_call=n, **options) for n in (3, 50))
    assert len(one.watch.rates) == one.result.metrics["train/steps"] == STEPS
    assert same_path(one.watch, other.watch)


@calls
def test_no_boundary_changes_a_weight(cut, steps_per_call):
    """After every step of a run with rows, validations, files and a schedule.

    Caught: noise that is a function of the call.
    """
    assert same_path(cut(steps_per_call).watch, cut(1).watch)


@pytest.mark.parametrize("batch_size", [20, N])
def test_max_steps_counts_the_steps_of_exact_em(tmp_path, monkeypatch, batch_size):
    """With one batch an epoch they are M-steps; with fourteen every fourteenth is one.

    Caught: a call that goes on to the end of the epoch; calls counted for steps.
    """
    steps, m_steps, m_step = 30, [], vi.BernoulliMixture.m_step
    counting = lambda net, statistics: m_steps.append(m_step(net, statistics))
    monkeypatch.setattr(vi.BernoulliMixture, "m_step", counting)
    options = {"epochs": 100, "max_steps": steps, "batch_size": batch_size}
    options |= {"check_val_every_n_epochs": 100}
    runs = []
    for n in (50, 7):
        m_steps.clear()
        folder, scheme = tmp_path / str(n), vi.ExactEM(0.0)
        runs.append(run(folder, mixture, scheme, given=still(), steps_per_call=n, **options))
        assert len(m_steps) == 1 + steps // math.ceil(N / batch_size)  # one is the start
    assert len(runs[0].watch.weights) == runs[0].result.metrics["train/steps"] == steps
    assert same_path(runs[0].watch, runs[1].watch)


@pytest.mark.parametrize(
    "options",
    [
        {"max_steps": STEPS},
        {"max_steps": 36, "check_val_every_n_epochs": 2},
        {"epochs": 3, "check_val_every_n_epochs": 2},
        {"max_evaluations": 3.0},
    ],
    ids=["within_an_epoch", "before_validation", "unvalidated_epoch", "spent"],
)
def test_the_last_checkpoint_is_that_of_the_last_step(tmp_path, options):
    """Also where the validation bound has fallen, or was not asked.

    Caught: a file written only when the validation bound is the best so far.
    """
    one = run(tmp_path, scheme=rise_and_fall(), **options)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == len(one.watch.weights)
    assert torch.equal(weights_of(last), one.watch.weights[-1])


@calls
def test_validation_comes_at_its_epochs(cut, steps_per_call):
    """Every second one; the numbers are the same. Caught: a validation after every epoch."""
    one = cut(steps_per_call)
    names = [name for name in cut(1).rows[0] if name.startswith("val/")]
    assert len(names) >= 4
    for name in names:
        assert [step for step, _ in one.column(name)] == [2 * EPOCH, 4 * EPOCH]
        assert one.column(name) == cut(1).column(name)


@calls
def test_rows_come_at_logging_steps_and_at_the_end_of_an_epoch(cut, steps_per_call):
    """Every tenth step, every fourteenth, and the last; the rows are the same.

    Caught: calls that pass over a logging step; a row of the last call only.
    """
    one = cut(steps_per_call)
    ends = {*range(10, STEPS, 10), *range(EPOCH, STEPS, EPOCH), STEPS}
    assert [step for step, _ in one.column("train/bound")] == sorted(ends)
    assert one.rows == cut(1).rows


def test_a_row_is_the_mean_over_the_data_since_the_last_row(cut, tmp_path):
    """To 1e-6: rows of every step, weighted by the size of their batch.

    Caught: a row of the last call only; a mean of the means of batches.
    """
    every = dict(run(tmp_path, log_every_n_steps=1, max_steps=30).column("train/bound"))
    size = {step: 20 if step % EPOCH else N - 20 * (EPOCH - 1) for step in every}
    before = 0
    for step, mean in cut(7).column("train/bound")[:5]:
        steps = range(before + 1, step + 1)
        total = sum(size[s] * every[s] for s in steps)
        assert mean == pytest.approx(total / sum(size[s] for s in steps), rel=1e-6)
        before = step
    assert before == 30


@pytest.mark.parametrize("steps_per_call", [1, 7])
def test_the_progress_bar_counts_steps(tmp_path, monkeypatch, steps_per_call):
    """Up to all; it ends with the numbers of the last row. Caught: a bar that counts calls."""
    shown = []
    monkeypatch.setattr(progress, "line", lambda *told: shown.append(told) or line(*told))
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    one = run(tmp_path, epochs=3, progress_bar=True, steps_per_call=steps_per_call)
    shares = [told[1] for told in shown]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {round(42 * share, 6) % 1 for share in shares} == {0}
    assert shown[-1][2]["train/elbo"] == one.column("train/elbo")[-1][1]


@calls
def test_the_schedule_steps_once_an_epoch(cut, steps_per_call):
    """The rate of every optimiser step, from 1e-3. Caught: a schedule that steps with calls."""
    one = cut(steps_per_call)
    expected = [1e-3 * DECAY ** (step // EPOCH) for step in range(STEPS)]
    assert one.watch.rates == pytest.approx(expected, rel=1e-12)
    assert one.watch.rates == cut(1).watch.rates


@pytest.mark.parametrize("make", [vi.Joint, vi.Alternating, vi.ReweightedWakeSleep])
def test_clipping_bounds_every_step(tmp_path, make):
    """The norm of the gradient of the group that moves is 0.01, to 1e-3: all were larger.

    Caught: a group that is not clipped; parameters of a group left out.
    """
    scheme = make(optimizer=partial(SGD, lr=0.1), gradient_clip_norm=0.01)
    one = run(tmp_path, scheme=scheme, max_steps=20, steps_per_call=50)
    assert len(one.watch.norms) >= 20
    assert one.watch.norms == pytest.approx([0.01] * len(one.watch.norms), rel=1e-3)


@two_calls
def test_early_stopping_ends_at_the_same_step(fallen, steps_per_call):
    """Two validations after the best one. Caught: a patience of one more."""
    one = fallen(steps_per_call)
    bounds = one.column("val/bound")
    best, _ = max(bounds, key=lambda row: row[1])
    assert best == BEST * EPOCH
    assert one.result.metrics["train/steps"] == bounds[-1][0] == best + 2 * EPOCH


class NaNFrom(vi.ELBO):
    """The ELBO, and NaN from an optimiser step on, counted from 1."""

    def __init__(self, step):
        super().__init__()
        self.poisoned, self.now = step, 0

    def at_step(self, step):
        self.now = step + 1

    def forward(self, model, x, **given):
        one = super().forward(model, x, **given)
        factor = torch.nan if self.now >= self.poisoned else 1.0
        return type(one)(one.value * factor, one.surrogate * factor, one.terms)


@two_calls
def test_nan_is_named_with_its_step(tmp_path, steps_per_call):
    """Whatever was saved before stays, and nothing that is NaN is saved.

    Caught: the step of the row named; a file of NaN between the step and its row.
    """
    files = periodic(tmp_path, save_top_k=-1)
    options = {"bound": NaNFrom(33), "steps_per_call": steps_per_call}
    with pytest.raises(NumericsError, match=r"loss became NaN at step 33 \("):
        run(tmp_path, callbacks=[files], **options)
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * EPOCH
    assert set(saved(tmp_path)) == {6, 12, 18, 24, 30}
    assert all(weights_of(path).isfinite().all() for path in tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "model").exists()

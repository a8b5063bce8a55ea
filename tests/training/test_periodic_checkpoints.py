"""Checkpoints at their steps, however many a call takes, and runs that go on from them."""

import pytest
import torch

from tests.support.boundaries import (
    BEST,
    EPOCH,
    MARKS,
    OTHER_PERIOD,
    PERIOD,
    STEPS,
    all_of_both_periods,
    calls,
    flat,
    rise_and_fall,
    run,
    saved,
    two_calls,
    weights_of,
)

pytestmark = MARKS


@calls
@pytest.mark.parametrize("every", [PERIOD, OTHER_PERIOD])
def test_periodic_checkpoints_hold_the_weights_of_their_step(cut, steps_per_call, every):
    """A file for every sixth step, one for every ninth, and no other; rows at every tenth.

    Caught: calls that pass over a period.
    """
    one = cut(steps_per_call)
    files = saved(one.folder, every)
    assert sorted(files) == list(range(every, STEPS, every))
    for step, path in files.items():
        assert torch.load(path, weights_only=True)["global_step"] == step
        assert torch.equal(weights_of(path), one.watch.weights[step - 1])


@pytest.mark.parametrize("step", [12, 42])
def test_a_periodic_checkpoint_is_a_run_that_ended_there(cut, tmp_path, step):
    """Its weights and its optimiser are those of a run with that ``max_steps``.

    Caught: calls that pass over a period.
    """
    ended = run(tmp_path, max_steps=step)
    one, other = (
        torch.load(path, weights_only=True)
        for path in (saved(cut(50).folder)[step], tmp_path / "checkpoints" / "last.ckpt")
    )
    assert torch.equal(flat(one["state_dict"]), flat(other["state_dict"]))
    pairs = zip(one["optimizer_states"], other["optimizer_states"], strict=True)
    for a, b in pairs:
        assert all(torch.equal(flat(a["state"][k]), flat(b["state"][k])) for k in b["state"])
    assert len(ended.watch.weights) == step


@two_calls
def test_the_two_best_checkpoints_are_kept(fallen, steps_per_call):
    """Every 12 steps by the last ``val/bound``, which a learning rate that grows ruins.

    What the first period would keep waits for the first validation. Caught: calls that pass over
    a period.
    """
    one = fallen(steps_per_call)
    bounds = dict(one.column("val/bound"))
    candidates = {EPOCH: bounds[EPOCH]}  # that of step 12 waits for the first validation
    candidates |= {
        step: bounds[step // EPOCH * EPOCH] for step in range(24, (BEST + 2) * EPOCH + 1, 12)
    }
    best = sorted(candidates, key=lambda step: (-candidates[step], -step))[
        :2
    ]  # of equals the later
    assert len(set(candidates.values())) > 3
    assert sorted(saved(one.folder, 12)) == sorted(best)
    for step, path in saved(one.folder, 12).items():
        assert torch.equal(weights_of(path), one.watch.weights[step - 1])


def test_a_periodic_checkpoint_changes_nothing_else(fallen, tmp_path):
    """The weights that are kept, the numbers and the curves, and nothing is warned of.

    Caught: the best weights looked up in the callback that was given.
    """
    plain, watched = run(tmp_path, scheme=rise_and_fall(), epochs=BEST + 2), fallen(50)
    for key, value in plain.result.metrics.items():
        assert "seconds" in key or watched.result.metrics[key] == value, key
    assert plain.rows == watched.rows
    assert plain.result.metrics["weights"] == f"best val/bound, epoch {BEST}"


def test_a_run_goes_on_with_another_number_of_steps_a_call(cut, tmp_path):
    """From step 33, which no call of 7 or 50 steps would end at: weights, rates and numbers.

    Caught: an epoch begun again.
    """
    options = {"max_steps": 33, "steps_per_call": 50, "check_val_every_n_epochs": 2}
    run(tmp_path, callbacks=all_of_both_periods(tmp_path), **options)
    assert_goes_on(cut(1), going_on(tmp_path, tmp_path / "checkpoints" / "last.ckpt", 7), 33)


@pytest.mark.filterwarnings("ignore:.*best.ckpt is missing")
@pytest.mark.parametrize(
    ("before", "step", "after"), [(50, 12, 7), (7, 36, 50), (50, 42, 7), (1, 42, 50)]
)
def test_a_run_goes_on_from_a_periodic_checkpoint(cut, tmp_path, before, step, after):
    """Saved within an epoch, or after its last step, by a run that went on.

    Caught: an epoch begun again; a schedule that steps only after the file of that step.
    """
    assert_goes_on(cut(1), going_on(tmp_path, saved(cut(before).folder)[step], after), step)


def going_on(folder, path, steps_per_call):
    """The rest of the run of ``cut``."""
    files = all_of_both_periods(folder)
    options = {"check_val_every_n_epochs": 2, "max_steps": STEPS, "ckpt_path": path}
    return run(folder, callbacks=files, steps_per_call=steps_per_call, **options)


def assert_goes_on(whole, resumed, done):
    assert len(resumed.watch.weights) == STEPS - done
    assert torch.equal(resumed.watch.weights[0], whole.watch.weights[done])
    assert torch.equal(resumed.watch.weights[-1], whole.watch.weights[-1])
    assert resumed.watch.rates == whole.watch.rates[done:]
    for key, value in whole.result.metrics.items():
        assert "seconds" in key or resumed.result.metrics[key] == value, key

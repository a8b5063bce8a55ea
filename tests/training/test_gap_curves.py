"""The gap while a model trains: the same training, comparable points, a share of the time."""

import json

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import vi
from tests.support.runs import EPOCH, Calls, bits, fit, last_of, rows, same
from tests.support.tiny import D, mixture, vae
from vi.data.base import LoadedData, Values
from vi.errors import ConfigurationError, DataError
from vi.evaluation.inference_gaps import InferenceGaps
from vi.evaluation.over_split import measure
from vi.files.checkpoint_file import read_checkpoint
from vi.training.callbacks.gaps import GapCurves
from vi.training.loggers.csv_curves import CSVCurves
from vi.training.loggers.tensorboard import TensorBoard
from vi.training.observers import is_backward_observed, is_step_observed


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)


def gaps(share=0.9, **options):
    evaluation = InferenceGaps(vi.AdamAscent(3, lr=0.05), num_samples=20, num_draws=2)
    return GapCurves(evaluation, share=share, **options)


class Always(GapCurves):
    """Measures after every call and every epoch, however long it takes."""

    def _fits(self, elapsed):
        return True


def always():
    return Always(gaps().evaluation)


@pytest.mark.parametrize("replay", [False, True])
def test_training_is_the_same_with_and_without(tmp_path, replay):
    """Bit by bit, also on the fast path, which is not left."""
    options = {"replay": replay, "steps_per_call": 2}
    plain = fit(tmp_path / "plain", **options)
    seen = fit(tmp_path / "seen", callbacks=[always()], **options)
    assert same(plain.model, seen.model)
    assert plain.metrics["val/bound"] == seen.metrics["val/bound"]


def test_the_fast_path_is_kept():
    """Caught: a callback from outside of vi."""
    trainer = Trainer(callbacks=[gaps()], logger=False, enable_checkpointing=False)
    assert not is_step_observed(trainer, [vae()])
    assert not is_backward_observed(trainer)


class Measured(Callback):
    """What the evaluation says of the model at the end of training."""

    def on_train_end(self, trainer, pl_module):
        evaluation, val = gaps().evaluation, pl_module.data.val
        arguments = pl_module.inferred, val, pl_module.bound, evaluation
        self.numbers = measure(*arguments, seed=pl_module.seed, limit=7, repeats=1).numbers


def test_a_point_is_what_the_evaluation_measures(tmp_path):
    """The numbers of ``measure`` on the same 7 of 13 validation data, at most 1e-6 nats apart.

    Caught: the first 7 data; noise by the place in the batch; training mode.
    """
    callback, same_data = gaps(num_data=7), Measured()
    fit(tmp_path, callbacks=[callback, same_data])
    assert {k for k in callback.numbers if "gap" in k}
    for name, value in callback.numbers.items():
        assert same_data.numbers[name] == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_curves_reach_every_logger_and_the_picture_is_drawn(tmp_path):
    loggers = [CSVCurves(tmp_path), TensorBoard(tmp_path, name="", version="")]
    callback = always()
    fit(tmp_path, callbacks=[callback], loggers=loggers)
    steps = [row["step"] for row in callback.rows]
    assert steps[-1] == 3 * EPOCH
    assert steps == sorted(set(steps))
    seen = [row for row in rows(tmp_path) if row.get("val_gaps/amortization")]
    assert [int(row["step"]) for row in seen] == steps
    board = EventAccumulator(str(tmp_path)).Reload()
    for name in ("elbo", "log_likelihood", "amortization", "approximation"):
        assert [e.step for e in board.Scalars(f"val_gaps/{name}")] == steps
        logged = [e.value for e in board.Scalars(f"val_gaps/{name}")]
        assert logged == pytest.approx([row[name] for row in callback.rows], rel=1e-5)
    assert board.Images("val_gaps/curves")
    assert (tmp_path / "gaps.png").stat().st_size > 1000
    for row in callback.rows:
        parts = row["elbo"] + row["amortization"] + row["approximation"]
        assert parts == pytest.approx(row["log_likelihood"], abs=1e-9)


def test_what_it_advises_stands_in_the_report(tmp_path, capsys):
    fit(tmp_path, callbacks=[always()], progress_bar=True)
    found = json.loads((tmp_path / "evaluation.json").read_text())["inference gaps while training"]
    assert found["facts"]["split"] == "val"
    assert found["facts"]["count"] == 13
    assert found["pictures"] == ["gaps.png"]
    assert found["numbers"]["approximation_gap"]["reliability"] == "lower bound"
    assert found["said"]
    printed = capsys.readouterr().out
    for sentence in found["said"]:
        assert f"note     {sentence}" in printed
        assert sentence in (tmp_path / "report.md").read_text()
    assert f"picture  {tmp_path / 'gaps.png'}" in printed


def test_a_resumed_run_goes_on_with_its_curve(tmp_path):
    """Caught: a curve that begins anew; a point measured twice."""
    whole, calls = always(), {"steps_per_call": 2}
    fit(tmp_path / "whole", callbacks=[whole], **calls)

    class Stopped(Exception):
        pass

    def fail():
        raise Stopped

    with pytest.raises(Stopped):
        fit(
            tmp_path / "cut",
            callbacks=[always(), Calls("on_train_batch_end", 2 * EPOCH - 2, fail)],
            loggers=[CSVCurves(tmp_path / "cut")],
            **calls,
        )
    state = read_checkpoint(last_of(tmp_path / "cut"))["callbacks"]["Always"]
    assert state["rows"]
    again = always()
    fit(
        tmp_path / "cut",
        callbacks=[again],
        loggers=[CSVCurves(tmp_path / "cut")],
        goes_on=True,
        **calls,
    )
    assert [row["step"] for row in again.rows] == [row["step"] for row in whole.rows]
    assert again.rows == whole.rows
    assert again.seconds > state["seconds"]
    logged = [r for r in rows(tmp_path / "cut") if r.get("val_gaps/elbo")]
    assert [int(r["step"]) for r in logged] == [row["step"] for row in again.rows]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_it_takes_at_most_its_share_of_the_time(share):
    """500 steps of 1 s, measurements of 10 s: at every moment at most the share, and not idle.

    Caught: the share of the time since the last measurement only; no account of its own time.
    """
    callback = gaps(share=share)
    callback.latest, now, spent, count = 10.0, 0.0, 0.0, 0

    for _ in range(500):
        now += 1.0
        if callback._fits(now):
            now, spent, count = now + 10.0, spent + 10.0, count + 1
            callback.seconds = spent
            assert spent <= share * now + 1e-9
    assert spent >= share * now - 10.0 - 1e-9
    assert count >= 2


def test_the_time_is_told_before_the_first_measurement(tmp_path):
    """A share of a thousandth is not spent before the end, which is always measured."""
    callback = gaps(share=0.001)
    fit(tmp_path, callbacks=[callback])
    assert [row["step"] for row in callback.rows] == [3 * EPOCH]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ConfigurationError, match="share must be between 0 and 1"):
        gaps(share=share)


def test_no_probe_data_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="num_data must be greater than 0"):
        gaps(num_data=0)
    empty = LoadedData(Values(bits(20, 1)), Values(bits(0, 2)), Values(bits(9, 3)), (D,))
    with pytest.raises(DataError):
        fit(tmp_path, given=empty, callbacks=[gaps()])


def test_what_has_no_gap_to_measure_is_refused_before_training(tmp_path):
    """Caught: an error after the first epoch."""

    def many():
        torch.manual_seed(0)
        parts = vi.BernoulliPosterior(11), vi.BernoulliPrior(11), vi.Bernoulli()
        return vi.VAE((D,), vi.MLP([4]), vi.MLP([4]), *parts)

    taken = Calls("on_train_batch_end", 1, lambda: pytest.fail("a step was taken"))
    with pytest.raises(ConfigurationError, match="no gradient"):
        fit(
            tmp_path,
            net=many,
            bound=vi.LogWeightELBO(),
            scheme=vi.ReweightedWakeSleep(),
            callbacks=[gaps(), taken],
        )


def test_an_exact_model_is_told_that_it_has_no_gap(tmp_path):
    callback = gaps()
    fit(tmp_path, net=mixture, scheme=vi.ExactEM(), bound=vi.EntropyELBO(), callbacks=[callback])
    assert callback.rows[-1]["amortization"] == callback.rows[-1]["approximation"] == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())["inference gaps while training"]
    assert found["said"] == ["q(z|x) is the exact posterior: there is no gap to close"]


def test_test_data_are_probed_without_a_validation_split(tmp_path):
    given = LoadedData(Values(bits(60, 1)), None, Values(bits(9, 3)), (D,))
    callback = gaps()
    fit(tmp_path, given=given, callbacks=[callback])
    found = json.loads((tmp_path / "evaluation.json").read_text())["inference gaps while training"]
    assert (found["facts"]["split"], found["facts"]["count"]) == ("test", 9)

"""Why a run ended stands in its checkpoint; to go on from there trains nothing."""

import json
import shutil
from functools import partial

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.runs import EPOCH, Calls, fit, last_of, same, timeless
from tests.support.tiny import mixture
from vi.errors import CheckpointError, ConfigurationError, NumericsError
from vi.files.checkpoint_file import read_checkpoint, sealed
from vi.training.callbacks.early_stopping import EarlyStopping
from vi.training.loggers.csv_curves import CSVCurves


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)


pytestmark = pytest.mark.filterwarnings("ignore:model/ will not be written")


def ruined():
    """The validation bound falls after some epochs."""
    return vi.Joint(partial(SGD, lr=0.1), partial(ExponentialLR, gamma=3.0), 1.0)


def stopping(patience):
    return lambda: {"callbacks": [EarlyStopping(patience)], "scheme": ruined(), "epochs": 30}


def exact(tolerance):
    return lambda: {"net": mixture, "scheme": vi.ExactEM(tolerance), "epochs": 200}


ENDED = {
    "max_epochs": (dict, lambda: {"epochs": 4}),
    "max_steps": (lambda: {"max_steps": 8}, lambda: {"max_steps": 10}),
    "max_evaluations": (lambda: {"max_evaluations": 2.5}, lambda: {"max_evaluations": 4.5}),
    "early stopping": (stopping(1), stopping(3)),
    "convergence": (exact(1e-2), exact(1e-3)),
}


@pytest.fixture(scope="module", params=ENDED)
def ended(request, tmp_path_factory):
    """(why, folder, result) of a run that has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vi.evaluation.over_split._DRAWS", 2)
        folder = tmp_path_factory.mktemp("ended") / "run"
        return request.param, folder, fit(folder, **ENDED[request.param][0]())


def begun():
    return Calls("on_train_batch_start", 0, lambda: pytest.fail("a step was taken"))


def going_on(folder, options, **more):
    callbacks = [*options.pop("callbacks", ()), *more.pop("callbacks", ())]
    return fit(folder, goes_on=True, callbacks=callbacks, **options | more)


def test_why_a_run_ended_stands_in_its_checkpoint(ended):
    why, folder, _ = ended
    assert read_checkpoint(last_of(folder))["run"]["ended"] == [why]


def test_a_run_that_has_ended_measures_only_what_is_missing(ended, tmp_path, monkeypatch):
    """Every number is kept, and the weights. Caught: it trained on; train/* and spent/* lost."""
    why, folder, result = ended
    copied = shutil.copytree(folder, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("vi.training.closing.evaluate", lambda *_, **__: pytest.fail("measured"))
        again = going_on(copied, ENDED[why][0](), callbacks=[begun()])
    assert again.metrics == result.metrics
    assert json.loads((copied / "metrics.json").read_text()) == result.metrics
    assert same(again.model, result.model)


def test_a_closing_evaluation_that_was_cut_off_is_made_up_for(ended, tmp_path):
    """As after a kill within it. Caught: another epoch; train/* missing."""
    why, folder, result = ended
    copied = shutil.copytree(folder, tmp_path / "run")
    (copied / "metrics.json").unlink()
    again = going_on(copied, ENDED[why][0](), callbacks=[begun()])
    assert timeless(again.metrics) == timeless(result.metrics)
    assert again.metrics["spent/seconds"] == result.metrics["spent/seconds"]


def test_a_limit_that_was_raised_lets_it_go_on(ended, tmp_path):
    why, folder, result = ended
    copied = shutil.copytree(folder, tmp_path / "run")
    again = going_on(copied, ENDED[why][1]())
    assert again.metrics["train/steps"] > result.metrics["train/steps"]


def test_a_raised_patience_is_as_if_it_had_been_so_from_the_start(tmp_path):
    """Caught: the patience of the checkpoint, which Lightning restores."""
    fit(tmp_path / "cut", **stopping(1)())
    resumed = going_on(tmp_path / "cut", stopping(3)())
    whole = fit(tmp_path / "whole", **stopping(3)())
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    assert same(resumed.model, whole.model)


def test_numbers_of_an_earlier_end_are_measured_anew(tmp_path):
    """Killed in the closing evaluation of a run that went on. Caught: the old numbers kept."""
    fit(tmp_path)
    old = (tmp_path / "metrics.json").read_bytes()
    result = fit(tmp_path, goes_on=True, epochs=4)
    (tmp_path / "metrics.json").write_bytes(old)
    again = fit(tmp_path, goes_on=True, epochs=4)
    assert timeless(again.metrics) == timeless(result.metrics)


@pytest.mark.parametrize("options", [{"epochs": 2}, {"max_steps": 2 * EPOCH}])
def test_a_limit_below_what_is_done_is_refused(tmp_path, options):
    fit(tmp_path)
    refused = r"trainer.max_\w+=\d+, but the run has completed"
    with pytest.raises(ConfigurationError, match=refused):
        fit(tmp_path, goes_on=True, **options)


def falling():
    return {"scheme": ruined(), "epochs": 12}


def test_a_run_that_was_moved_keeps_its_best_weights(tmp_path):
    """Its best epoch is that of the run that was not moved. Caught: epoch 18 became 24."""
    whole = fit(tmp_path / "whole", **falling())
    assert whole.metrics["weights"] != "best val/bound, epoch 12"
    fit(tmp_path / "cut", **falling() | {"epochs": 9})
    shutil.move(tmp_path / "cut", tmp_path / "moved")
    moved = fit(tmp_path / "moved", goes_on=True, **falling())
    assert timeless(moved.metrics) == timeless(whole.metrics)
    assert same(moved.model, whole.model)


def test_a_run_that_goes_on_elsewhere_takes_the_best_weights_along(tmp_path):
    fit(tmp_path / "cut", **falling() | {"epochs": 9})
    whole = fit(tmp_path / "whole", **falling())
    other = fit(tmp_path / "other", ckpt_path=last_of(tmp_path / "cut"), **falling())
    assert timeless(other.metrics) == timeless(whole.metrics)


def test_best_weights_that_are_gone_are_told(tmp_path):
    fit(tmp_path)
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    with pytest.warns(UserWarning, match="best.ckpt is missing"):
        fit(tmp_path, goes_on=True, epochs=4)


def test_best_weights_that_an_ended_run_has_lost_are_an_error(tmp_path):
    """Caught: the model overwritten with the last weights."""
    result = fit(tmp_path, **falling())
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(CheckpointError, match="best.ckpt is missing"):
        fit(tmp_path, goes_on=True, **falling())
    assert same(vi.load(tmp_path), result.model)


def test_the_model_is_written_whatever_the_closing_evaluation_does(tmp_path, monkeypatch):
    """Caught: a far row in the test data, and a week of training without a model."""

    def not_finite(*_, **__):
        return {"log_likelihood": float("-inf")}

    with monkeypatch.context() as patch:
        patch.setattr("vi.training.closing.evaluate", not_finite)
        with pytest.raises(NumericsError, match="no finite numbers on the test data"):
            fit(tmp_path)
    model = vi.load(tmp_path)
    assert same(model, fit(tmp_path, goes_on=True).model)


def test_the_model_is_written_whatever_a_picture_does(tmp_path, monkeypatch):
    from vi.training.callbacks.pictures import Pictures

    def fails(*_, **__):
        raise NumericsError("no picture", hint="none")

    monkeypatch.setattr("vi.training.results.result.save_pictures", fails)
    with pytest.raises(NumericsError, match="no picture"):
        fit(tmp_path, callbacks=[Pictures()])
    assert isinstance(vi.load(tmp_path), vi.VAE)
    assert "test/elbo" in json.loads((tmp_path / "metrics.json").read_text())


def test_a_mean_that_was_begun_goes_on(tmp_path):
    """The row at step 8 is of steps 7 and 8, though the run was cut after 7."""
    rows = {}
    for name, cuts in (("whole", []), ("cut", [{"max_steps": 7}])):
        folder = tmp_path / name
        for options in [*cuts, {"max_steps": 8}]:
            fit(folder, goes_on=last_of(folder).exists(), **options)
        rows[name] = read_checkpoint(last_of(folder))["run"]["latest"]
    assert torch.isfinite(torch.tensor(rows["whole"]["train/bound"]))


JUNK = {
    "no_number": {"test/elbo": None},
    "text": {"test/elbo": "x"},
    "list": {"test/kl": [1]},
    "seconds": {"train/seconds": None},
}


@pytest.mark.parametrize("change", JUNK.values(), ids=JUNK)
def test_numbers_that_no_run_wrote_are_measured_again(tmp_path, change):
    """Caught: tracebacks of the closing table."""
    result = fit(tmp_path, epochs=1)
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    again = fit(tmp_path, epochs=1, goes_on=True, progress_bar=True)
    assert timeless(again.metrics) == timeless(result.metrics)


@pytest.mark.parametrize("entry", ["state_dict", "epoch", "weights", "nan"])
def test_best_weights_that_no_run_wrote_are_refused_before_anything_is_written(tmp_path, entry):
    """With a checksum of their own. Caught: KeyError; NaN in model/."""
    fit(tmp_path, epochs=1)
    best = tmp_path / "checkpoints" / "best.ckpt"
    saved = read_checkpoint(best)
    weights = saved["state_dict"]
    first = next(iter(weights))
    if entry in saved:
        del saved[entry]
    else:
        weights[first] = 3 if entry == "weights" else weights[first] * torch.nan
    best.write_bytes(sealed(saved))
    kept = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".ckpt"}
    with pytest.raises(CheckpointError, match=r"best\.ckpt"):
        fit(tmp_path, epochs=1, goes_on=True)
    assert {p: p.read_bytes() for p in kept} == kept


def test_a_checkpoint_that_is_refused_leaves_the_curves(tmp_path):
    """Caught: rows cut off for a run that did not go on."""
    fit(tmp_path, epochs=1, loggers=[CSVCurves(tmp_path)])
    (curve,) = tmp_path.rglob("metrics.csv")
    before = curve.read_bytes()
    saved = read_checkpoint(last_of(tmp_path))
    saved["global_step"] = saved["epoch"] = 0
    saved["callbacks"]["Best"]["more"] = 1
    last_of(tmp_path).write_bytes(sealed(saved))
    with pytest.raises(CheckpointError, match="has other entries"):
        fit(tmp_path, epochs=1, goes_on=True, loggers=[CSVCurves(tmp_path)])
    assert curve.read_bytes() == before

"""SIGINT and SIGTERM at any moment: a checkpoint, what goes on from it, and the right code."""

import signal
from functools import partial

import pytest
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.runs import EPOCH, Calls, fit, last_of, rows, same, timeless
from tests.support.tiny import mixture, vae
from vi.errors import Interrupted
from vi.training.callbacks.diagnostics import LatentDiagnostics
from vi.training.callbacks.ledger import EMLedger
from vi.training.loggers.csv_curves import CSVCurves
from vi.training.signals import noting_signals

pytestmark = pytest.mark.filterwarnings("ignore:model/ will not be written")


@pytest.fixture(autouse=True, scope="module")
def _fast():
    """Few draws, and an empty picture of the ledger: nothing here looks at either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vi.evaluation.over_split._DRAWS", 2)
        patch.setattr("vi.training.callbacks.ledger.ledger_figure", lambda rows: rows)
        patch.setattr("vi.training.callbacks.ledger.save_figure", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def _heard():
    """As in a shell; who starts the tests in the background has SIGINT ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SCHEMES = {
    "joint": (vae, lambda: vi.Joint(schedule=partial(ExponentialLR, gamma=0.8))),
    "alternating": (vae, lambda: vi.Alternating(None, 1)),
    "exact_em": (mixture, lambda: vi.ExactEM(0.0)),
}


def run(folder, name, *callbacks, **options):
    net, scheme = SCHEMES[name]
    return fit(
        folder,
        net=net,
        scheme=scheme(),
        callbacks=[LatentDiagnostics(), EMLedger(), *callbacks],
        loggers=[CSVCurves(folder)],
        steps_per_call=2,
        **options,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """name -> (folder, result) of a run that nobody stopped."""
    folders = {name: tmp_path_factory.mktemp(name) for name in SCHEMES}
    return {name: (folder, run(folder, name)) for name, folder in folders.items()}


def stop(number=signal.SIGTERM):
    return partial(signal.raise_signal, number)


MOMENTS = {
    "first_epoch": ("on_train_batch_end", 2),
    "last_step": ("on_train_batch_start", EPOCH - 2),
    "validation": ("on_validation_batch_start", EPOCH),
    "epoch_end": ("on_train_epoch_end", EPOCH),
    "later_epoch": ("on_train_batch_end", EPOCH + 2),
    "last_validation": ("on_validation_start", 3 * EPOCH),
    "train_end": ("on_train_end", 3 * EPOCH),
}


@pytest.mark.parametrize(
    ("name", "moment"),
    [("joint", m) for m in MOMENTS] + [("alternating", "later_epoch"), ("exact_em", "last_step"),
     ("exact_em", "validation"), ("exact_em", "later_epoch")],
)  # fmt: skip
def test_a_run_that_was_stopped_goes_on_to_the_bit(tmp_path, whole, name, moment):
    """Parameters, numbers, rows and ledger. Caught: an epoch lost; a validation left out."""
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM after step \d") as stopped:
        run(tmp_path, name, Calls(*MOMENTS[moment], stop()))
    assert stopped.value.exit_code == 143
    assert f"ckpt_path={last_of(tmp_path)}" in stopped.value.hint
    resumed = run(tmp_path, name, goes_on=True)
    folder, result = whole[name]
    assert timeless(resumed.metrics) == timeless(result.metrics)
    assert same(resumed.model, result.model)
    assert rows(tmp_path) == rows(folder)
    if name != "joint":  # which has no split
        assert (tmp_path / "ledger.csv").read_text() == (folder / "ledger.csv").read_text()


def test_sigint_ends_with_130_and_the_handlers_are_those_of_before(tmp_path):
    """Caught: Lightning's ``sys.exit(1)``, and SIGINT ignored ever after."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    sent = Calls("on_train_batch_end", 3, stop(signal.SIGINT))
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 3") as stopped:
        fit(tmp_path, callbacks=[sent], steps_per_call=1)
    assert stopped.value.exit_code == 130
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_before_the_first_step_there_is_nothing_to_go_on_from(tmp_path):
    with pytest.raises(Interrupted, match="before the first step") as stopped:
        fit(tmp_path / "run", callbacks=[Calls("on_train_start", 0, stop())])
    assert stopped.value.hint == "start again"
    assert not last_of(tmp_path / "run").exists()


def test_a_closing_evaluation_that_is_stopped_is_made_up_for(tmp_path, monkeypatch):
    """Caught: "start again"; -15 without a word."""
    with monkeypatch.context() as patch:
        patch.setattr("vi.training.closing.evaluate", lambda *_, **__: stop()())
        with pytest.raises(Interrupted, match="stopped by SIGTERM after step 18") as stopped:
            fit(tmp_path / "run")
    assert stopped.value.exit_code == 143
    begun = Calls("on_train_batch_start", 0, lambda: pytest.fail("a step was taken"))
    resumed = fit(tmp_path / "run", goes_on=True, callbacks=[begun])
    assert timeless(resumed.metrics) == timeless(fit(tmp_path / "whole").metrics)


def test_a_second_signal_does_not_wait(tmp_path):
    """Caught: a step that never ends cannot be left."""

    def twice():
        stop()()
        stop()()
        pytest.fail("the second signal was awaited")

    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        fit(tmp_path, callbacks=[Calls("on_train_batch_start", 0, twice)])


def test_what_is_ignored_stays_ignored():
    """As under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with noting_signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.received is None

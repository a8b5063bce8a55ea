"""The schemes through vi.fit: resume, the end of an epoch, what was spent, and the ledger."""

import csv
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from torch.optim import Adam

import vi
from tests.support.tiny import D, mixture, vae
from vi.data.base import DynamicBits, LoadedData, Values
from vi.training.batching import IndexBlocks
from vi.training.callbacks.ledger import EMLedger
from vi.training.fit import FitResult
from vi.training.settings import TrainerSettings

N = 50


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """An empty picture, which took most of the time."""
    monkeypatch.setattr("vi.training.callbacks.ledger.ledger_figure", lambda rows: rows)
    monkeypatch.setattr("vi.training.callbacks.ledger.save_figure", lambda *_: None)


def data(train=None):
    generator = torch.Generator().manual_seed(1)
    bits = lambda n: torch.randint(0, 2, (n, D), generator=generator, dtype=torch.uint8)
    return LoadedData(train or Values(bits(N)), Values(bits(13)), Values(bits(9)), (D,))


class Kept(DummyLogger):
    """What was logged, in order: (step, numbers)."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def column(self, name):
        """One value a step; what was spent is logged with validation and with training."""
        return list({step: row[name] for step, row in self.rows if name in row}.values())


def fit(folder, net, scheme, epochs=4, given=None, **options):
    """A run of four steps an epoch, with the ledger."""
    defaults = {"batch_size": 16, "progress_bar": False, "device": "cpu", "loggers": []}
    defaults |= {"evaluation": vi.ImportanceSampling(5), "callbacks": [EMLedger(max_data=10)]}
    defaults |= {"replay": False}  # the plain Adam of torch looks at its count of steps
    options = defaults | options
    return vi.fit(net, given or data(), scheme=scheme, epochs=epochs, run_dir=folder, **options)


def ledger(folder):
    """Its rows; none where the scheme has no split."""
    if not (folder / "ledger.csv").exists():
        return []
    with (folder / "ledger.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


ADAM = partial(Adam, lr=0.02)
ASCENT = vi.GradientAscent(num_steps=2, lr=0.1)
GRADIENT = {
    "joint": lambda: vi.Joint(ADAM),
    "alternating": lambda: vi.Alternating(2, 1, optimizer=ADAM),
    "alternating_rising": lambda: vi.Alternating(None, 1, window=2, optimizer=ADAM),
    "aggressive": lambda: vi.Aggressive(window=1, max_e_steps=2, optimizer=ADAM),
    "reweighted_wake_sleep": lambda: vi.ReweightedWakeSleep(3, 0.5, optimizer=ADAM),
    "semi_amortised": lambda: vi.SemiAmortised(ASCENT, optimizer=ADAM),
    "svi": lambda: vi.SVI(ASCENT, fit_factor=2, optimizer=ADAM),
}
EXACT = {
    "exact_em": lambda: vi.ExactEM(0.0),
    "incremental_em": lambda: vi.IncrementalEM(0.0),
    "hard_em": lambda: vi.HardEM(0.0),
    "stochastic_em": vi.StochasticEM,
}
RUNS = {name: (vae, make) for name, make in GRADIENT.items()}
RUNS |= {name: (mixture, make) for name, make in EXACT.items()}


class Ends(pl.Callback):
    """What the module and its scheme hold when training ends."""

    def on_train_end(self, trainer, pl_module):
        self.evaluations = pl_module.book.evaluations
        self.state = pl_module.scheme.state_dict()


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Run(NamedTuple):
    """What is left of a run."""

    folder: Path
    result: FitResult
    ends: Ends
    logger: Kept


def ended(folder, name, *, watched=True, **options):
    """A run of four epochs, with the ledger or without."""
    (net, make), ends, logger = RUNS[name], Ends(), Kept()
    callbacks = [EMLedger(max_data=10), ends] if watched else [ends]
    result = fit(folder, net(), make(), callbacks=callbacks, loggers=[logger], **options)
    return Run(folder, result, ends, logger)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """name -> the run of four epochs at once."""
    return cache(lambda name: ended(tmp_path_factory.mktemp(name), name))


def assert_same(one, other):
    """Parameters, test numbers, the scheme's memory and the account of evaluations."""
    assert same(one.result.model, other.result.model)
    numbers = ("test/elbo", "test/log_likelihood", "val/bound", "train/steps", "weights")
    for key in numbers:
        assert one.result.metrics[key] == other.result.metrics[key]
    assert _plain(one.ends.state) == _plain(other.ends.state)
    assert one.ends.evaluations == other.ends.evaluations


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, whole, name):
    """Four epochs, and two gone on with, bit for bit, the ledger too.

    Caught: a scheme that forgets its state; a ledger that begins again; the account of
    evaluations with those of the ledger, which a resumed run measures once more.
    """
    ended(tmp_path, name, epochs=2)
    last = tmp_path / "checkpoints" / "last.ckpt"
    resumed = ended(tmp_path, name, ckpt_path=last)
    assert_same(resumed, whole(name))
    assert ledger(tmp_path) == ledger(whole(name).folder)


@pytest.mark.parametrize(
    "name",
    ["alternating", "alternating_rising", "aggressive", "svi", "exact_em", "incremental_em"],
)
def test_a_run_cut_within_an_epoch_goes_on_unwatched(tmp_path, whole, name):
    """Ten steps of 16, then the rest, without the ledger: bit for bit the run that had it.

    Caught: measurements of the ledger added up as evaluations of training.
    """
    ended(tmp_path, name, watched=False, max_steps=10)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert_same(ended(tmp_path, name, watched=False, ckpt_path=last), whole(name))


def _plain(value):
    """Tensors as lists, so that states can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", RUNS)
def test_the_ledger_has_a_row_for_every_epoch(whole, name):
    """Of a scheme that has a split: it wins in E-steps and in M-steps; the curves agree.

    Hard EM starts at the best of its own fixed points, from which there is nothing to win.
    Joint steps have no ledger. Caught: a file of theirs that says "joint" in every row.
    """
    rows = ledger(whole(name).folder)
    joint = name in ("joint", "semi_amortised")
    steps = [] if joint else [(n, 4 * n) for n in range(1, 5)]
    assert [(row["epoch"], row["step"]) for row in rows] == steps
    assert (whole(name).folder / "ledger.csv").exists() != joint
    for phase in ("e", "m"):
        assert any(row[phase] for row in rows) != (joint or name == "hard_em")
    for phase in ("e", "m", "joint"):
        curve = whole(name).logger.column(f"ledger/{phase}")
        assert curve == [row[phase] for row in rows if row[phase]]


def test_a_run_tells_what_it_spent(tmp_path):
    """Epochs, and evaluations per training datum, after every epoch; a resumed run goes on.

    ELBO(3) costs one row of the encoder and three of the decoder; RWS with K = 5 two and eight.
    Caught: an account that begins again with a resumed run.
    """
    logger = Kept()
    fit(tmp_path / "a", vae(), vi.Joint(), 3, bound=vi.ELBO(3), loggers=[logger])
    assert logger.column("spent/epochs") == [1, 2, 3]
    assert logger.column("spent/encoder_evaluations") == [1, 2, 3]
    assert logger.column("spent/decoder_evaluations") == [3, 6, 9]
    seconds = logger.column("spent/seconds")
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    last = tmp_path / "a" / "checkpoints" / "last.ckpt"
    again = Kept()
    fit(tmp_path / "a", vae(), vi.Joint(), 4, bound=vi.ELBO(3), loggers=[again], ckpt_path=last)
    assert again.column("spent/decoder_evaluations") == [12]
    assert again.column("spent/seconds")[0] > seconds[1]
    wake = Kept()
    scheme = vi.ReweightedWakeSleep(num_samples=5)
    fit(tmp_path / "b", vae(), scheme, 1, bound=vi.ELBO(3), loggers=[wake])
    assert wake.column("spent/encoder_evaluations") == [2]
    assert wake.column("spent/decoder_evaluations") == [8]
    exact = Kept()
    fit(tmp_path / "c", mixture(), vi.ExactEM(), 1, loggers=[exact])
    assert exact.column("spent/encoder_evaluations") == [1]
    assert exact.column("spent/decoder_evaluations") == [0]


def test_the_m_step_comes_before_validation(tmp_path):
    """val/elbo of each epoch is log p of the validation data after that epoch's M-step: 1e-12.

    Caught: the M-step at the start of the next epoch.
    """
    given, logger = data(), Kept()
    result = fit(tmp_path, mixture(), vi.ExactEM(0.0), 3, given=given, loggers=[logger])
    by_hand = mixture()
    x, held_out = (s.values(torch.arange(len(s))) for s in (given.train, given.val))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        by_hand.initialize(x)
    expected = []
    for _ in range(3):
        by_hand.m_step(by_hand.e_step(x))
        expected.append(by_hand.log_evidence(held_out).mean().item())
    assert logger.column("val/elbo") == pytest.approx(expected, abs=1e-12)
    assert result.metrics["val/elbo"] == pytest.approx(expected[-1], abs=1e-12)


def test_exact_schemes_keep_the_last_weights(tmp_path):
    """They end at a maximum of their own; a validation bound that fell does not undo it.

    Caught: the best weights by val/bound put back.
    """
    logger = Kept()
    result = fit(tmp_path, mixture(), vi.ExactEM(0.0), 20, loggers=[logger])
    val = logger.column("val/bound")
    assert max(val) > val[-1]  # else nothing is tested
    assert result.metrics["weights"] == "last"
    assert result.metrics["val/bound"] == pytest.approx(val[-1], abs=1e-9)


@pytest.mark.parametrize("make", [vi.ExactEM, vi.IncrementalEM])
def test_training_ends_when_the_scheme_has_converged(tmp_path, make):
    """Long before the 200 epochs that it may take. Caught: a flag that nobody reads."""
    result = fit(tmp_path, mixture(), make(1e-3), 200)
    assert 2 < result.metrics["train/epochs"] < 100
    assert len(ledger(tmp_path)) == result.metrics["train/epochs"]


class Told(vi.Joint):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.told, self.steps = [], 0

    def step(self, *args):
        self.steps += 1
        return super().step(*args)

    def end_epoch(self, bound, model, probe):
        self.told.append((self.steps, probe.x.clone()))


@pytest.mark.parametrize("steps_per_call", [1, 3, 50])
def test_the_end_of_an_epoch_is_told_after_its_last_step(tmp_path, steps_per_call):
    """Not where max_steps cuts one; with held-out data that are the same each time.

    Caught: told once for each call of Lightning.
    """
    scheme = Told()
    fit(tmp_path / "a", vae(), scheme, 3, max_steps=10, steps_per_call=steps_per_call)
    assert [steps for steps, _ in scheme.told] == [4, 8]
    assert all(torch.equal(x, scheme.told[0][1]) for _, x in scheme.told)
    assert scheme.told[0][1].shape == (13, D)
    assert scheme.num_data == N


def test_a_probe_of_dynamic_bits_is_drawn_once(tmp_path):
    """Caught: bits drawn anew after every epoch."""
    grey = torch.randint(0, 256, (N, D), dtype=torch.uint8)
    given = LoadedData(DynamicBits(grey), None, data().test, (D,))
    scheme = Told()
    fit(tmp_path, vae(), scheme, 2, given=given)
    assert torch.equal(scheme.told[0][1], scheme.told[1][1])


def test_fixed_data_come_in_the_same_batches():
    """Every epoch has the order of the first one, others have an order each; all data come."""
    settings = TrainerSettings(batch_size=16)
    for same_order in (True, False):
        cut = {"steps_per_call": lambda: 3, "periods": [2], "same_order": same_order}
        orders = []
        for epoch in range(3):
            taken = lambda epoch=epoch: 4 * epoch
            blocks = IndexBlocks(N, settings, 0, taken, torch.device("cpu"), **cut)
            orders.append(torch.cat([index for call in blocks for index in call]))
        assert torch.equal(orders[0], orders[1]) == torch.equal(orders[0], orders[2]) == same_order
        assert all(torch.equal(order.sort().values, torch.arange(N)) for order in orders)


@pytest.mark.parametrize("name", EXACT)
def test_exact_schemes_refuse_data_that_change(tmp_path, name):
    """Exit 2 and no directory. Caught: an objective that fell in the second epoch."""
    grey = torch.randint(0, 256, (N, D), dtype=torch.uint8)
    with pytest.raises(vi.ConfigurationError, match="needs the same data") as caught:
        fit(tmp_path / "run", mixture(), EXACT[name](), given=data(DynamicBits(grey)))
    assert caught.value.exit_code == 2
    assert "data.binarize=static" in caught.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("net", "scheme", "message"),
    [
        (vae, vi.ExactEM(), "VAE has no exact E-step"),
        (mixture, vi.Alternating(), "BernoulliMixture has no encoder"),
        (mixture, vi.SVI(ASCENT), "BernoulliMixture has no encoder"),
        (lambda: vi.PPCA((D,), 2), vi.HardEM(), "PPCA has a continuous z"),
    ],
    ids=["exact", "alternating", "svi", "hard"],
)
def test_pairs_that_cannot_be_are_refused_before_anything_is_made(tmp_path, net, scheme, message):
    with pytest.raises(vi.ConfigurationError, match=message):
        fit(tmp_path / "run", net(), scheme)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["semi_amortised", "svi"])
def test_the_saved_model_refines_too(tmp_path, name):
    """vi.load gives the q that was evaluated. Caught: the encoder's own q saved."""
    given = data()
    result = fit(tmp_path, vae(), GRADIENT[name](), 2, given=given)
    loaded, x = vi.load(tmp_path), given.test.values(torch.arange(9))
    bound = vi.ELBO()
    torch.manual_seed(1)
    one = bound(result.model, x).value
    torch.manual_seed(1)
    other = bound(loaded, x).value
    kind = {"semi_amortised": vi.Refined, "svi": vi.PerDatum}[name]
    assert type(loaded.inference) is type(result.model.inference) is kind
    assert torch.equal(one, other)

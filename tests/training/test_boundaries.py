"""Several optimiser steps a call of Lightning: every law of a run, whatever their number."""

import csv
import math
import traceback
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from rich.progress import Progress
from torch.nn.utils import get_total_norm
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils._python_dispatch import TorchDispatchMode

import vi
from tests.support.tiny import D, mixture, vae
from vi.data.base import DynamicBits, LoadedData, Values
from vi.errors import NumericsError
from vi.training.callbacks.early_stopping import EarlyStopping
from vi.training.fit import FitResult

N = 270
EPOCH = 14  # steps, of 20 data; the last has 10
CALLS = [1, 7, 50]
PACKAGE = Path(vi.__path__[0])
STEPS = 62
BEST = 3  # epochs of ``rise_and_fall``
PERIOD, OTHER_PERIOD = 6, 9  # the first divides one end of an epoch, 42
DECAY = 0.8

pytestmark = [
    pytest.mark.filterwarnings("ignore:model/ will not be written"),
]


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    """Nothing here is about the error of the test numbers; fewer draws are faster."""
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)


def bits(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n, D), generator=generator, dtype=torch.uint8)


def grey():
    """Training data whose bits are drawn anew at every visit."""
    levels = torch.randint(0, 256, (N, D), generator=torch.Generator().manual_seed(1))
    return DynamicBits(levels.to(torch.uint8))


def flat(state):
    """All numbers of a state dict, (P,)."""
    return torch.cat([value.detach().flatten().double() for value in state.values()])


def rise_and_fall():
    """The validation bound is best after epoch 3; then the learning rate is too high."""
    return vi.Joint(partial(SGD, lr=0.1), partial(ExponentialLR, gamma=2.0), 1.0)


class Stepwise(pl.Callback):
    """Looks on after every step of the scheme; an implementer writes ``after``."""

    def on_train_start(self, trainer, pl_module):
        step = pl_module.scheme.step

        def watched(*args):
            estimate = step(*args)
            self.after(pl_module)
            return estimate

        pl_module.scheme.step = watched

    def on_train_end(self, trainer, pl_module):
        del pl_module.scheme.step


class Watch(Stepwise):
    """What every step found and left."""

    def __init__(self):
        self.weights, self.evaluations = [], []  # after every step of the scheme
        self.rates, self.norms = [], []  # before every step of an optimiser

    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module)
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(self.before)

    def before(self, optimizer, *_):
        (group,) = optimizer.param_groups
        self.rates.append(group["lr"])
        gradients = [p.grad for p in group["params"] if p.grad is not None]
        self.norms.append(get_total_norm(gradients).item())

    def after(self, module):
        self.weights.append(flat(module.model.state_dict()))
        self.evaluations.append(module.book.evaluations.encoder + module.book.evaluations.decoder)


class Run(NamedTuple):
    """What is left of a run."""

    folder: Path
    result: FitResult
    watch: Watch

    @property
    def rows(self):
        """Of the CSV logger, without the seconds."""
        with (self.folder / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
            return [{k: v for k, v in row.items() if "seconds" not in k} for row in
                    csv.DictReader(file)]  # fmt: skip

    def column(self, name):
        """[(step, number)] of one curve."""
        return [(int(row["step"]), float(row[name])) for row in self.rows if row.get(name)]


def run(folder, net=vae, scheme=None, callbacks=(), given=None, watch=None, **options):
    """A run with a schedule, at most 6 epochs of 14 steps."""
    watch = watch or Watch()
    scheme = scheme or vi.Joint(schedule=partial(ExponentialLR, gamma=DECAY))
    given = given or LoadedData(grey(), Values(bits(13, 2)), Values(bits(9, 3)), (D,))
    defaults = {
        "epochs": 6,
        "batch_size": 20,
        "log_every_n_steps": 10,
        "device": "cpu",
        "progress_bar": False,
        "loggers": [CSVLogger(folder, name="csv")],
        "evaluation": vi.ImportanceSampling(2),
        "replay": False,  # a replay has nobody watching; test_tape.py says that it is the same
    }
    options = defaults | options
    callbacks = [watch, *callbacks]
    result = vi.fit(net(), given, scheme=scheme, callbacks=callbacks, run_dir=folder, **options)
    return Run(folder, result, watch)


def still():
    """Data that are the same at every visit."""
    return LoadedData(Values(bits(N, 1)), Values(bits(13, 2)), Values(bits(9, 3)), (D,))


def periodic(folder, every=PERIOD, **options):
    return ModelCheckpoint(
        folder / str(every), filename="{step}", every_n_train_steps=every, **options
    )


def all_of_both_periods(folder):
    return [periodic(folder, every, save_top_k=-1) for every in (PERIOD, OTHER_PERIOD)]


def saved(folder, every=PERIOD):
    """step -> the checkpoint file of that name."""
    return {int(p.stem.removeprefix("step=")): p for p in (folder / str(every)).glob("*.ckpt")}


def weights_of(path):
    state = torch.load(path, weights_only=True)["state_dict"]
    return flat({k: v for k, v in state.items() if k.startswith("model.")})


def same_path(one, other):
    """Whether the weights were the same after every step."""
    return torch.equal(torch.stack(one.weights), torch.stack(other.weights))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """steps_per_call -> a run of 62 steps with a schedule and periodic checkpoints."""

    @cache
    def make(steps_per_call):
        folder = tmp_path_factory.mktemp("cut")
        files = all_of_both_periods(folder)
        options = {"check_val_every_n_epochs": 2, "max_steps": STEPS}
        return run(folder, callbacks=files, steps_per_call=steps_per_call, **options)

    return make


@pytest.fixture(scope="module")
def fallen(tmp_path_factory):
    """steps_per_call -> a run that is ruined, whose best checkpoints are kept until it stops."""

    @cache
    def make(steps_per_call):
        folder = tmp_path_factory.mktemp("fallen")
        files = periodic(folder, 12, save_top_k=2, monitor="val/bound", mode="max")
        options = {"epochs": 20, "steps_per_call": steps_per_call}
        return run(folder, vae, rise_and_fall(), [files, EarlyStopping(patience=2)], **options)

    return make


two_calls = pytest.mark.parametrize("steps_per_call", [1, 50])
calls = pytest.mark.parametrize("steps_per_call", CALLS)


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


@pytest.mark.parametrize("steps_per_call", [7])
def test_the_progress_bar_counts_whole_epochs(tmp_path, monkeypatch, steps_per_call):
    """Of all; it ends with the numbers of the last row. Caught: a bar that counts calls."""
    shown, update = [], Progress.update

    def watched(bar, task, **fields):
        update(bar, task, **fields)
        shown.append(replace(bar.tasks[0]))

    monkeypatch.setattr(Progress, "update", watched)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    one = run(tmp_path, epochs=3, progress_bar=True, steps_per_call=steps_per_call)
    counts = [task.completed for task in shown]
    assert sorted(set(counts)) == [0, 1, 2, 3]
    assert counts == sorted(counts)
    assert shown[-1].total == 3
    assert f"elbo {one.column('train/elbo')[-1][1]:.2f}" in shown[-1].fields["numbers"]


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


ASCENT = vi.GradientAscent(num_steps=2, lr=0.1)
SPENDING = {
    "joint": (vae, vi.Joint),
    "alternating": (vae, vi.Alternating),
    "wake_sleep": (vae, partial(vi.ReweightedWakeSleep, 3)),
    "svi": (vae, lambda: vi.SVI(ASCENT, fit_factor=2)),
    "exact_em": (mixture, lambda: vi.ExactEM(0.0)),
}


@pytest.fixture(scope="module")
def per_epoch(tmp_path_factory):
    """name -> evaluations in an epoch."""

    @cache
    def spent(name):
        net, make = SPENDING[name]
        one = run(tmp_path_factory.mktemp("epoch"), net, make(), given=still(), epochs=1)
        return one.watch.evaluations[-1]

    return spent


@pytest.mark.parametrize(("name", "period"), [*((name, 50) for name in SPENDING), ("joint", 3)])
def test_a_run_ends_where_its_evaluations_are_spent(tmp_path, per_epoch, name, period):
    """At the first step that reaches the limit, which lies within a call and within an epoch.

    Caught: a call that is finished first, from the end or from the next step that is logged.
    """
    net, make = SPENDING[name]
    limit = 1.41 * per_epoch(name)
    options = {"max_evaluations": limit / N, "steps_per_call": 50}
    one = run(tmp_path, net, make(), given=still(), log_every_n_steps=period, **options)
    *before, last = one.watch.evaluations
    assert before[-1] < limit <= last
    assert one.result.metrics["train/steps"] == len(one.watch.evaluations) == 20
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 20


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


class Reads(TorchDispatchMode):
    """Where a number is asked of a tensor, so that the host would wait for a device."""

    OPERATIONS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.OPERATIONS:
            self.note()
        return func(*args, **(kwargs or {}))

    def note(self):
        """Remember the innermost line of vi."""
        stack = traceback.extract_stack()
        lines = [f for f in stack if Path(f.filename).is_relative_to(PACKAGE)]
        self.found.append(f"{Path(lines[-1].filename).name}:{lines[-1].lineno} {lines[-1].line}")


class Listening(Stepwise):
    """Hears what is read after step ``first`` and up to step ``last``."""

    def __init__(self, first, last):
        self.reads, self.first, self.last, self.step = Reads(), first, last, 0

    def after(self, module):
        self.step += 1
        if self.step == self.first:
            self.reads.__enter__()
        if self.step == self.last:
            self.reads.__exit__(None, None, None)

    def noted(self, method):
        """The method of a tensor, heard too."""

        def watched(*args, **kwargs):
            if self.first <= self.step < self.last:
                self.reads.note()
            return method(*args, **kwargs)

        return watched


SILENT = {
    "joint": (vae, partial(vi.Joint, gradient_clip_norm=1.0)),
    "alternating": (vae, vi.Alternating),
    "wake_sleep": (vae, vi.WakeSleep),
    "reweighted_wake_sleep": (vae, partial(vi.ReweightedWakeSleep, 3, 0.5)),
    "semi_amortised": (vae, lambda: vi.SemiAmortised(ASCENT)),
    "svi": (vae, lambda: vi.SVI(ASCENT, fit_factor=2)),
}
EXACT = {
    "exact_em": (mixture, lambda: vi.ExactEM(0.0)),
    "incremental_em": (mixture, lambda: vi.IncrementalEM(0.0)),
    "hard_em": (mixture, lambda: vi.HardEM(0.0)),
}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_read_between_logging_steps(tmp_path, monkeypatch, name):
    """Twenty steps of which none is a boundary. Caught: ``item`` and ``tolist`` of every step."""
    net, make = SILENT[name]
    assert heard(tmp_path, monkeypatch, net, make()) == []


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_read_in_exact_steps(tmp_path, monkeypatch, name):
    """Nor within an epoch of a mixture, unless z is drawn: torch's draw looks at its weights.

    Caught: a categorical that checks its probabilities in every step.
    """
    net, make = EXACT[name]
    assert heard(tmp_path, monkeypatch, net, make()) == []


@pytest.mark.parametrize("make", [partial(vi.Alternating, None, 1), vi.Aggressive])
def test_a_scheme_that_waits_for_the_bound_reads_it_once_a_window(tmp_path, monkeypatch, make):
    """Of ten batches: at most twice in twenty steps. Caught: a read of every batch."""
    found = heard(tmp_path, monkeypatch, vae, make(window=10))
    assert 0 < len(found) <= 2
    assert all(line.startswith("plateau.py") for line in found)


def heard(folder, monkeypatch, net, scheme):
    """The lines that read something in steps 24 to 43.

    Of ``tolist`` and ``numpy`` torch tells nobody, so they are watched by name.
    """
    listening = Listening(23, 43)
    for method in ("tolist", "numpy"):
        monkeypatch.setattr(torch.Tensor, method, listening.noted(getattr(torch.Tensor, method)))
    options = {"batch_size": 2, "log_every_n_steps": 22, "max_steps": 44, "steps_per_call": 50}
    run(folder, net, scheme, given=still(), watch=listening, **options)
    assert listening.step == 44
    return listening.reads.found

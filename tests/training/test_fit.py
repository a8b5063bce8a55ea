"""vi.fit: the order of data, the noise, the counting of steps, and what is left on the disk."""

import json
import signal
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

import vi
import vi.fast.threads
from vi.data.base import DynamicBits, LoadedData, Values
from vi.errors import (
    CheckpointError,
    ConfigurationError,
    DataError,
    Interrupted,
    NumericsError,
)
from vi.math import mix
from vi.training.callbacks.early_stopping import EarlyStopping
from vi.training.loggers.tensorboard import TensorBoard


def bits(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n, 6), generator=generator, dtype=torch.uint8)


def grey(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 6), generator=generator, dtype=torch.uint8)


def data(**changes):
    splits = {
        "train": DynamicBits(grey(50, 1)),
        "val": Values(bits(13, 2)),
        "test": Values(bits(9, 3)),
    }
    return LoadedData(**(splits | changes), shape=(6,), facts={"data/name": "toy"})


def model(hidden=(8,), likelihood=None):
    torch.manual_seed(0)
    likelihood = likelihood or vi.Bernoulli()
    network = vi.MLP(list(hidden))
    return vi.VAE((6,), network, network, vi.DiagonalGaussian(2), vi.StandardNormal(2), likelihood)


def fit(tmp_path, net=None, given=None, epochs=3, **options):
    defaults = {
        "batch_size": 16,
        "callbacks": [],
        "loggers": [],
        "progress_bar": False,
        "device": "cpu",
    }
    options = defaults | {"evaluation": vi.ImportanceSampling(10)} | options
    return vi.fit(net or model(), given or data(), epochs=epochs, run_dir=tmp_path, **options)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_fit_is_the_plain_loop_bit_for_bit(tmp_path):
    """Caught: an order of data drawn from the training noise; a noise that counts calls."""
    given = data(val=None)
    trained = fit(tmp_path, given=given, scheme=vi.Joint(partial(SGD, lr=0.1)), steps_per_call=3)
    by_hand, bound = model(), vi.ELBO()
    by_hand.initialize(given.train.frozen(0).batch(torch.arange(50)).x)
    optimizer = SGD(by_hand.parameters(), lr=0.1)
    step = 0
    for epoch in range(3):
        order = torch.randperm(50, generator=torch.Generator().manual_seed(mix(0, epoch)))
        for index in order.split(16):
            torch.manual_seed(mix(0, step))
            x = given.train.batch(index).x
            optimizer.zero_grad()
            (-bound(by_hand, x).surrogate.mean()).backward()
            optimizer.step()
            step += 1
    assert trained.metrics["train/steps"] == step == 12
    assert same(trained.model, by_hand)


@pytest.mark.parametrize("steps_per_call", [1, 5, 50])
def test_steps_per_call_changes_nothing(tmp_path, steps_per_call):
    one = fit(tmp_path / "a", steps_per_call=2)
    other = fit(tmp_path / "b", steps_per_call=steps_per_call)
    assert same(one.model, other.model)
    assert one.metrics["test/elbo"] == other.metrics["test/elbo"]


def test_resume_is_bit_exact(tmp_path):
    """Parameters, optimiser state, schedule, order and noise go on as if nothing had been.

    Caught: the noise of the step seeded by the calls of this process.
    """
    scheme = partial(vi.Joint, schedule=partial(ExponentialLR, gamma=0.8))
    whole = fit(tmp_path / "whole", epochs=5, scheme=scheme())
    fit(tmp_path / "cut", epochs=2, scheme=scheme())
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    resumed = fit(tmp_path / "cut", epochs=5, scheme=scheme(), ckpt_path=last)
    assert same(whole.model, resumed.model)
    assert whole.metrics["test/log_likelihood"] == resumed.metrics["test/log_likelihood"]
    assert whole.metrics["train/learning_rate"] == resumed.metrics["train/learning_rate"]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 3 * 4),
        ({"drop_last": True}, 3 * 3),
        ({"limit_train_batches": 2}, 3 * 2),
        ({"limit_train_batches": 0.5}, 3 * 2),
        ({"max_steps": 7}, 7),
        ({"max_steps": 7, "steps_per_call": 5, "log_every_n_steps": 3}, 7),
        ({"batch_size": 1000}, 3),
        ({"batch_size": 49}, 3 * 2),  # the last batch has one datum
    ],
)
def test_steps_are_optimiser_steps(tmp_path, options, steps):
    assert fit(tmp_path, **options).metrics["train/steps"] == steps


def test_the_best_weights_are_those_of_the_best_validation_bound(tmp_path):
    """A learning rate that ruins the model at the second epoch: the first epoch's weights stay."""
    jump = partial(ExponentialLR, gamma=1e4)
    scheme = partial(vi.Joint, partial(SGD, lr=1e-3), jump, gradient_clip_norm=0.5)
    result = fit(tmp_path / "two", epochs=2, scheme=scheme())
    kept = fit(tmp_path / "one", epochs=1, scheme=scheme())
    assert result.metrics["weights"] == "best val/bound, epoch 1"
    assert same(result.model, kept.model)


def test_validation_bound_is_the_mean_over_the_data(tmp_path):
    """val/bound and val/elbo come from noise keyed by (seed, datum)."""
    result = fit(tmp_path, epochs=1, bound=vi.IWAE(num_samples=3), seed=5)
    given = data()
    with torch.no_grad(), vi.distributions.datum_noise.datum_noise(5, range(13)):
        estimate = vi.IWAE(num_samples=3)(result.model, given.val.values(torch.arange(13)))
    assert result.metrics["val/bound"] == pytest.approx(estimate.value.mean().item(), rel=1e-6)
    assert result.metrics["val/elbo"] == pytest.approx(
        estimate.terms["elbo"].mean().item(), rel=1e-6
    )
    assert result.metrics["val/bound"] > result.metrics["val/elbo"]


def test_early_stopping_waits_for_the_warm_up(tmp_path):
    """Caught: a patience that began to count at step 0 (stopped after 3 epochs, not 8)."""
    still = vi.Joint(partial(SGD, lr=0.0))
    stop = partial(EarlyStopping, patience=2)
    plain = fit(tmp_path / "a", epochs=20, scheme=still, callbacks=[stop()])
    warm = vi.Beta(vi.ELBO(), beta=1.0, warmup_steps=20)
    annealed = fit(tmp_path / "b", epochs=20, scheme=still, bound=warm, callbacks=[stop()])
    never = fit(tmp_path / "c", epochs=5, scheme=still, callbacks=[EarlyStopping()])
    assert plain.metrics["train/epochs"] == 3
    assert annealed.metrics["train/epochs"] == 20 // 4 + 3
    assert never.metrics["train/epochs"] == 5


def test_nan_ends_the_run_with_its_step(tmp_path):
    class Poisoned(vi.ELBO):
        def forward(self, model, x, **given):
            estimate = super().forward(model, x, **given)
            return (
                estimate
                if self.count() < 5
                else type(estimate)(
                    estimate.value * torch.nan, estimate.surrogate * torch.nan, estimate.terms
                )
            )

        def count(self):
            self.calls = getattr(self, "calls", 0) + torch.is_grad_enabled()
            return self.calls

    with (
        pytest.warns(UserWarning, match="model/ will not be written"),
        pytest.raises(NumericsError, match=r"loss became NaN at step 5 \(kl=.*reconstruction="),
    ):
        fit(tmp_path, given=data(val=None), bound=Poisoned())


def test_a_flat_model_trains_on_images(tmp_path):
    images = data(train=DynamicBits(grey(50, 1).view(50, 1, 2, 3)))
    images = LoadedData(
        images.train, None, Values(bits(9, 3).view(9, 1, 2, 3)), (1, 2, 3), facts=images.facts
    )
    flat = data(val=None)
    assert same(fit(tmp_path / "a", given=images).model, fit(tmp_path / "b", given=flat).model)


def test_metrics_json_holds_what_was_returned(tmp_path):
    result = fit(tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == result.metrics
    keys = {"test/elbo", "test/kl", "test/reconstruction", "test/log_likelihood", "data/name"}
    assert keys | {"test/log_likelihood_se", "test/log_likelihood_samples", "seed"} <= set(written)
    assert written["test/elbo"] == pytest.approx(
        written["test/reconstruction"] - written["test/kl"], rel=1e-6
    )
    assert written["test/log_likelihood"] > written["test/elbo"]


def test_pretrained_weights_are_the_start(tmp_path):
    first = fit(tmp_path / "a")
    still = vi.Joint(partial(SGD, lr=0.0))
    second = fit(tmp_path / "b", scheme=still, init_from=tmp_path / "a")
    assert same(first.model, second.model)
    with pytest.raises(CheckpointError, match="another model"):
        fit(tmp_path / "c", net=model(hidden=(9,)), init_from=tmp_path / "a")


def test_a_model_that_has_no_name_is_trained_and_said_to_be_unsaved(tmp_path):
    def encoder(in_shape, out_shape):
        return nn.Linear(in_shape[0], out_shape[0])

    torch.manual_seed(0)
    net = vi.VAE(
        (6,), encoder, encoder, vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    )
    with pytest.warns(UserWarning, match="model/ will not be written"):
        fit(tmp_path, net=net)
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "metrics.json").exists()


BAD_DATA = {
    "empty": (data(test=Values(bits(0, 1))), {}, "the test split is empty"),
    "batch": (
        data(),
        {"batch_size": 51, "drop_last": True},
        "batch_size 51 is larger than the 50",
    ),
    "half a batch": (
        data(),
        {"batch_size": 51, "drop_last": True, "limit_train_batches": 0.5},
        "batch_size 51 is larger than the 50",
    ),
    "nan": (
        data(train=Values(torch.zeros(50, 6).index_fill(0, torch.tensor([17]), torch.nan))),
        {},
        r"6 NaN values in the training data \(first: item 17\)",
    ),
    "infinite": (
        data(val=Values(torch.full((4, 6), torch.inf))),
        {},
        r"24 infinite values in the validation data \(first: item 0\)",
    ),
    "support": (
        data(train=Values(torch.tensor([[0, 1, 1.99, 0, 0, 0]]))),
        {},
        r"Bernoulli needs 0/1 data; got values in \[0.00, 1.99\]",
    ),
    "shape": (
        LoadedData(Values(torch.zeros(4, 5)), None, Values(torch.zeros(4, 5)), (5,)),
        {},
        r"data gives 5 features \(5,\), model expects 6 \(6,\)",
    ),
}


@pytest.mark.parametrize("fault", BAD_DATA)
def test_bad_data_are_refused_before_anything_is_made(tmp_path, fault):
    given, options, message = BAD_DATA[fault]
    with pytest.raises(DataError, match=message) as caught:
        fit(tmp_path / "run", given=given, **options)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_the_hint_names_the_likelihoods_that_fit(tmp_path):
    given = data(train=Values(torch.full((50, 6), 0.3)))
    with pytest.raises(DataError) as caught:
        fit(tmp_path, given=given)
    assert "data.binarize" not in caught.value.hint  # these data have no such option
    assert "gaussian" in caught.value.hint
    assert "bernoulli" not in caught.value.hint.replace("continuous_bernoulli", "")


def test_settings_are_checked(tmp_path):
    with pytest.raises(ConfigurationError, match="trainer.batchsize") as caught:
        fit(tmp_path, batchsize=3)
    assert caught.value.hint == "did you mean trainer.batch_size?"
    with pytest.raises(ConfigurationError, match="trainer.max_epochs must be greater than 0"):
        fit(tmp_path, epochs=0)


@pytest.mark.parametrize("stop", [5, 7, 8])
def test_a_run_that_stopped_within_an_epoch_goes_on_as_if_it_had_not(tmp_path, stop):
    """Caught: the cut epoch counted as a whole one, so that a third of the steps was missing."""
    scheme = partial(vi.Joint, schedule=partial(ExponentialLR, gamma=0.5))
    whole = fit(tmp_path / "whole", scheme=scheme())
    fit(tmp_path / "cut", scheme=scheme(), max_steps=stop)
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    resumed = fit(tmp_path / "cut", scheme=scheme(), ckpt_path=last)
    assert resumed.metrics["train/steps"] == whole.metrics["train/steps"] == 12
    assert resumed.metrics["train/learning_rate"] == whole.metrics["train/learning_rate"]
    assert same(resumed.model, whole.model)


def test_weights_that_ruin_the_validation_bound_are_never_the_best(tmp_path):
    """Caught: NaN kept as the first best, saved to model/, and the run ended well."""
    wild = vi.Joint(partial(SGD, lr=1e30))
    with pytest.raises(NumericsError, match="validation bound became"):
        fit(tmp_path, epochs=1, scheme=wild, limit_train_batches=1)
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_a_bound_and_a_model_are_trained_in_training_mode(tmp_path):
    """Caught: the second run with the same bound had no warm-up."""
    seen = []

    class Watched(vi.Beta):
        def at_step(self, step):
            seen.append((self.training, self.weight))

    bound = Watched(vi.ELBO(), beta=4.0, warmup_steps=100)
    net = model()
    for run in ("a", "b"):
        with pytest.warns(UserWarning, match="will not be written"):
            fit(tmp_path / run, net=net.eval(), bound=bound, max_steps=1)
    assert seen == [(True, 0.0), (True, 0.0)]


def test_val_numbers_are_those_of_the_weights_that_are_kept(tmp_path):
    """Caught: val/bound of the last epoch beside test/bound of the best."""
    jump = partial(ExponentialLR, gamma=1e4)
    scheme = partial(vi.Joint, partial(SGD, lr=1e-3), jump, gradient_clip_norm=0.5)
    two = fit(tmp_path / "two", epochs=2, scheme=scheme())
    one = fit(tmp_path / "one", epochs=1, scheme=scheme())
    assert two.metrics["val/bound"] == one.metrics["val/bound"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": vi.Joint(partial(SGD, lr=-1.0))}, "Invalid learning rate"),
        ({"device": "gpu"}, "torch sees no CUDA device"),
        ({"seed": -1}, "seed must be from 0"),
    ],
    ids=["lr", "gpu", "seed"],
)  # fmt: skip
def test_what_cannot_work_is_found_before_anything_is_made(tmp_path, options, message):
    if options.get("device") == "gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigurationError, match=message):
        fit(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_precision_is_refused(tmp_path):
    with pytest.raises(DataError, match="data are torch.float32, the model is torch.float64"):
        fit(tmp_path / "run", net=model().double())


def test_threads_are_a_function_of_the_sizes():
    before = torch.get_num_threads()
    with vi.fast.threads.threads(None, nn.Linear(10, 10), 100) as small:
        assert torch.get_num_threads() == small == 1
    with vi.fast.threads.threads(None, nn.Linear(1000, 1000), 100) as large:
        assert large == before
    with vi.fast.threads.threads(2, nn.Linear(1, 1), 1) as given:
        assert torch.get_num_threads() == given == 2
    assert torch.get_num_threads() == before


def test_the_numbers_of_a_step_are_one_record_for_tensorboard(tmp_path):
    """Under their names, at that step. Caught: a record for each; names without the prefix."""
    logger = TensorBoard(tmp_path, name="", version="", prefix="a")
    logger.log_metrics({"train/elbo": -2.5, "train/kl": torch.tensor(0.5)}, step=3)
    logger.experiment.flush()
    (file,) = tmp_path.glob("events.*")
    records = [event for event in EventFileLoader(str(file)).Load() if event.step == 3]
    assert len(records) == 1
    found = {
        value.tag: tensor_util.make_ndarray(value.tensor) for value in records[0].summary.value
    }
    assert found == {"a-train/elbo": -2.5, "a-train/kl": 0.5}


class Stop(pl.Callback):
    """Sends this process a signal in its second epoch."""

    def __init__(self, number):
        self.number = number

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path, number):
    """With the exit code of the signal, and the epochs that are done kept.

    Caught: the success that Lightning makes of SIGTERM.
    """
    # a shell starts what runs behind it with SIGINT ignored, and a run leaves it so
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match=f"stopped by {number.name} after step") as stopped:
            fit(tmp_path, callbacks=[Stop(number)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.value.exit_code == 128 + number
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert f"ckpt_path={last}" in stopped.value.hint
    assert fit(tmp_path, ckpt_path=last).metrics["train/epochs"] == 3

"""A step replayed from the list of its operations is the step, to the bit."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.tiny import D
from vi.data.base import DynamicBits, LoadedData, Values
from vi.fast.replay import cpu_tape as tape
from vi.fast.replay.cpu_tape import Tapes
from vi.math import seed_generators
from vi.schemes.gradient import FUSED_ADAM

CPU = torch.device("cpu")


def data():
    generator = torch.Generator().manual_seed(1)
    grey = torch.randint(0, 256, (90, D), generator=generator, dtype=torch.uint8)
    bits = Values(grey[:13] % 2)
    return LoadedData(DynamicBits(grey), bits, bits, (D,))


def network(**parts):
    torch.manual_seed(0)
    defaults = {"posterior": vi.DiagonalGaussian(2), "prior": vi.StandardNormal(2)}
    chosen = defaults | {"likelihood": vi.Bernoulli()} | parts
    return vi.VAE((D,), vi.MLP([4]), vi.MLP([4]), **chosen)


def fitted(folder, model, bound=None, optimizer=FUSED_ADAM, **options):
    """Three epochs of five steps, the last of ten data; a falling rate, clipped gradients."""
    scheme = vi.Joint(partial(optimizer, lr=0.05), partial(ExponentialLR, gamma=0.7), 0.5)
    defaults = {"batch_size": 20, "progress_bar": False, "callbacks": [], "loggers": []}
    chosen = defaults | {"evaluation": vi.ImportanceSampling(2), "device": "cpu", "seed": 3}
    return vi.fit(model, data(), bound, scheme, epochs=3, run_dir=folder, **chosen | options)


def numbers(result):
    return {k: v for k, v in result.metrics.items() if isinstance(v, float) and "second" not in k}


CASES = {
    "elbo": lambda: (network(), vi.ELBO()),
    "iwae": lambda: (network(), vi.IWAE(3)),
    "full": lambda: (network(posterior=vi.FullGaussian(2)), vi.ELBO()),
    "low_rank": lambda: (network(posterior=vi.LowRankGaussian(2, 1)), vi.ELBO()),
    "mixture": lambda: (network(posterior=vi.GaussianMixturePosterior(2, 2)), vi.LogWeightELBO()),
    "vamp": lambda: (network(prior=vi.VampPrior((D,), 2, 3)), vi.LogWeightELBO()),
    "bits": lambda: (
        network(posterior=vi.BernoulliPosterior(2), prior=vi.BernoulliPrior(2)),
        vi.ELBO(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_of_replays_is_the_run(tmp_path, replays, case):
    """Weights and every number. Caught: the learning rate of the time of recording."""
    (one, bound), (other, _) = CASES[case](), CASES[case]()
    with_them = fitted(tmp_path / "replayed", one, bound)
    # four full batches an epoch, at the end of which the rate falls; of the smaller one only one
    assert len(replays) == 3 * (4 - 1)
    without = fitted(tmp_path / "plain", other, bound, replay=False)
    assert len(replays) == 3 * (4 - 1)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    assert numbers(with_them) == numbers(without)


@pytest.mark.parametrize(
    "settings", [{"precision": "bf16"}, {"steps_per_call": 2}, {"threads": 2}]
)
def test_also_with_other_settings(tmp_path, replays, settings, monkeypatch):
    monkeypatch.setattr("vi.fast.rounding._WORTH", 0.0)  # bf16 also where it is no gain
    one, other = network(), network()
    fitted(tmp_path / "replayed", one, **settings)
    assert replays
    fitted(tmp_path / "plain", other, replay=False, **settings)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_a_resumed_run_is_the_whole_run(tmp_path, replays):
    """Recorded at other steps than those of the whole run."""
    whole, part = network(), network()
    fitted(tmp_path / "whole", whole)
    fitted(tmp_path / "part", part, max_steps=12)
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    fitted(tmp_path / "part", part := network(), ckpt_path=last)
    assert all(map(torch.equal, whole.parameters(), part.parameters()))
    assert replays


class Silent(nn.Module):
    """Changes with every call, and tells no tensor of it."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def test_what_depends_on_more_than_tensors_is_found_out():
    """And leaves no trace. Caught: a trial on the inputs and noise of the recording."""
    weight, likes_counting = torch.zeros(2), Silent()

    def work(x):
        weight.add_(x)
        return [likes_counting(weight)]

    noise = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="a step depends on more than data, weights and noise"):
        Tapes().record(work, [torch.ones(2)])
    assert torch.equal(weight, torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), noise)


def test_what_looks_at_its_numbers_is_taken_step_by_step(tmp_path, replays):
    """torch's own Adam reads its count of steps. Caught: the count of the attempt kept."""
    one, other = network(), network()
    with pytest.warns(UserWarning, match="not replayed: a step reads a value") as said:
        fitted(tmp_path / "tried", one, optimizer=Adam)
    assert len([w for w in said if "not replayed" in str(w.message)]) == 1
    assert not replays
    fitted(tmp_path / "plain", other, optimizer=Adam, replay=False)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_every_replay_draws_anew_and_the_same_seed_the_same():
    weight = torch.zeros(3)

    def work(x):
        weight.add_(x)
        return [torch.randn(3) + weight]

    seed_generators(0, CPU)
    before = torch.get_rng_state()
    replay = Tapes().record(work, [torch.ones(3)])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weight, torch.zeros(3))  # nothing was done yet
    for seed, x in ((5, 2.0), (6, 1.0)):
        expected = weight + x + torch.randn(3, generator=torch.Generator().manual_seed(seed))
        seed_generators(seed, CPU)
        (result,) = replay([torch.full((3,), x)])
        assert torch.equal(result, expected)
    assert torch.equal(weight, torch.full((3,), 3.0))


def test_a_view_of_what_was_there_is_written_through():
    """Caught: views of weights taken for tensors of the step, which nobody restores."""
    weight = torch.zeros(2, 3)

    def work(x):
        weight.t()[0].add_(x)
        return [weight.sum(0)]

    replay = Tapes().record(work, [torch.ones(2)])
    assert torch.equal(weight, torch.zeros(2, 3))
    (result,) = replay([torch.full((2,), 3.0)])
    assert torch.equal(weight, torch.tensor([[3.0, 0, 0], [3.0, 0, 0]]))
    assert torch.equal(result, torch.tensor([6.0, 0, 0]))


def test_a_result_stays_what_it_was_when_what_was_there_changes():
    """Caught: weights given out as results, which the next replay moves."""
    weight = torch.zeros(2)

    def work(x):
        return [weight.add_(x)]

    replay = Tapes().record(work, [torch.ones(2)])
    (first,), (second,) = replay([torch.ones(2)]), replay([torch.ones(2)])
    assert (first.tolist(), second.tolist()) == ([1.0, 1.0], [2.0, 2.0])


def test_constants_are_computed_once_and_sums_are_not(monkeypatch):
    """Caught: a sum begun with zeros that goes on from replay to replay."""
    graphs, straight_line = [], tape.straight_line

    def seen(graph, given):
        graphs.append(str(graph))
        return straight_line(graph, given)

    def work(x):
        return [torch.zeros_like(x).add_(x), torch.ones_like(x) * 2 + x]

    monkeypatch.setattr(tape, "straight_line", seen)
    replay = Tapes().record(work, [torch.ones(2)])
    assert "aten.zeros_like" in graphs[0]
    assert not any(made in graphs[0] for made in ("aten.ones_like", "aten.mul"))
    for _ in range(3):
        total, more = replay([torch.ones(2)])
        assert (total.tolist(), more.tolist()) == ([1.0, 1.0], [3.0, 3.0])


class Changing(pl.Callback):
    """Freezes the decoder in the fourth epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        pl_module.model.decoder.requires_grad_(trainer.current_epoch < 3)


def test_a_callback_of_a_user_may_change_what_a_step_is(tmp_path, replays):
    """Caught: a frozen decoder that goes on moving."""
    one, other = network(), network()
    fitted(tmp_path / "one", one, callbacks=[Changing()])
    assert not replays
    fitted(tmp_path / "other", other, callbacks=[Changing()], replay=False)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


@pytest.mark.parametrize("hook", ["forward", "optimizer"])
def test_whoever_watches_a_step_sees_all_of_them(tmp_path, replays, hook):
    seen, model = [], network()
    watch = lambda *_: seen.append(hook)
    if hook == "forward":
        model.encoder.register_forward_hook(watch)
        fitted(tmp_path, model)
    else:

        def watched(parameters, **options):
            optimizer = SGD(parameters, **options)
            optimizer.register_step_post_hook(watch)
            return optimizer

        fitted(tmp_path, model, optimizer=watched)
    assert not replays
    assert len(seen) >= 15

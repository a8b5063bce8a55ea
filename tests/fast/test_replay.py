"""A replayed step is the step: its bookkeeping on any machine, the graphs where there is a GPU."""

import copy
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR

import vi
from vi.data.base import LoadedData, Values
from vi.evaluation.columns import terms
from vi.evaluations import Evaluations, tallied
from vi.fast.replay.cuda_graph import CudaGraphs
from vi.fast.replay.replay import ReplayedSteps
from vi.math import mix, seed_generators
from vi.schemes.base import Context

N, BATCH, EPOCHS = 50, 16, 4
SLOPE = partial(SGD, lr=0.1)


class Course:
    """A small run that takes its steps by hand or by replays."""

    def __init__(self, recorder=None, device="cpu", optimizer=SLOPE):
        torch.manual_seed(0)
        parts = (vi.MLP([8]), vi.MLP([8]), vi.DiagonalGaussian(2), vi.StandardNormal(2))
        self.model = vi.VAE((6,), *parts, vi.Bernoulli()).to(device)
        self.device = torch.device(device)
        self.split = Values(torch.randint(0, 2, (N, 6), dtype=torch.uint8)).to(device)
        self.bound, self.scheme = vi.ELBO(), vi.Joint(optimizer, gradient_clip_norm=1.0)
        self.optimizers, _ = self.scheme.configure(self.model, self.bound)
        self.evaluations, self.terms = Evaluations(), []
        self.take = self.step
        if recorder is not None:
            self.take = recorder(self)
        schedule = ExponentialLR(self.optimizers[0], 0.9)
        with tallied(self.evaluations):
            for epoch in range(EPOCHS):
                self.epoch(epoch)
                if epoch % 2:
                    schedule.step()

    def epoch(self, number):
        order = torch.randperm(N, generator=torch.Generator().manual_seed(number))
        for position, index in enumerate(order.to(self.device).split(BATCH)):
            seed_generators(mix(number, position), self.device)
            self.terms.append(self.take(index))

    def step(self, index):
        batch = self.split.batch(index)
        backward = torch.Tensor.backward
        return terms(
            self.scheme.step(Context(self.model, self.bound, self.optimizers, backward), batch)
        )

    def replayed(self, recorder):
        return ReplayedSteps(
            lambda index: [index], self.step, self.optimizers, self.evaluations, recorder
        )


class Again:
    """Records by remembering the work, and replays by doing it again: like a graph, silently."""

    patience = 3

    def __init__(self, course):
        self.course, self.replays = course, 0

    def warm(self, work):
        return work()

    def record(self, work, inputs):
        weights = copy.deepcopy(self.course.model.state_dict())
        with torch.random.fork_rng():
            work(*inputs)  # which names its results: nothing is done while a graph is recorded
        self.course.model.load_state_dict(weights)

        (group,) = self.course.optimizers[0].param_groups
        recorded = group["lr"]

        def replay(inputs):
            self.replays += 1
            before, rate = copy.copy(self.course.evaluations), group["lr"]
            group["lr"] = recorded  # a graph knows no other
            results = work(*inputs)
            group["lr"] = rate
            vars(self.course.evaluations).update(vars(before))  # nor does it count
            return results

        return replay


def assert_same(a, b, exact=True):
    close = torch.equal if exact else partial(torch.allclose, rtol=1e-4, atol=1e-6)
    assert all(
        close(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )
    for one, other in zip(a.terms, b.terms, strict=True):
        assert one.keys() == other.keys()
        assert all(close(one[k], other[k]) for k in one)
    assert a.evaluations == b.evaluations


def test_replayed_steps_are_the_steps():
    """Weights, terms and account, with a smaller last batch and a falling learning rate.

    Caught: a block of indices left from the step that was recorded; terms of a later replay in the
    place of an earlier one; a learning rate of the time of recording; evaluations not counted.
    """
    recorders = []

    def recorder(course):
        recorders.append(Again(course))
        return course.replayed(recorders[0])

    assert_same(Course(recorder), Course())
    assert recorders[0].replays == 2 * (6 - 3)  # the rate falls once, after two of four epochs


def test_what_cannot_be_recorded_is_taken_step_by_step():
    """Said once. Caught: evaluations of the attempt counted."""

    class Refusing(Again):
        def record(self, work, inputs):
            work_is_tried = self.course.evaluations.encoder
            self.course.evaluations.encoder = work_is_tried + 100
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with pytest.warns(UserWarning, match="not replayed: operation not") as said:
        course = Course(lambda course: course.replayed(Refusing(course)))
    assert len([w for w in said if "not replayed" in str(w.message)]) == 1
    assert_same(course, Course())


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [SLOPE, partial(Adam, lr=0.1, fused=True)])
def test_graphs_compute_what_kernels_compute(optimizer):
    """With the noise that the same seeds give without a graph, so every replay has its own."""
    graphs = Course(
        lambda course: course.replayed(CudaGraphs(course.optimizers)), "cuda", optimizer
    )
    assert_same(graphs, Course(None, "cuda", optimizer), exact=False)


@pytest.mark.gpu
def test_every_replay_draws_anew():
    """And the same seed draws the same."""
    torch.ones(1, device="cuda")
    replay = CudaGraphs().record(lambda: [torch.randn(1000, device="cuda")], [])
    draws = []
    for seed in (0, 1, 0):
        seed_generators(seed, torch.device("cuda"))
        draws += replay([])
    seed_generators(1, torch.device("cuda"))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(draws[1], torch.randn(1000, device="cuda"))


def test_nothing_is_recorded_while_the_objective_changes(tmp_path, monkeypatch):
    """Caught: a weight of the KL of the time of recording."""
    replayed = []

    def counting(session, take, *_):
        _, bound = session.modules

        def again(index):
            replayed.append(bound.weight)
            return take(index)

        return again

    monkeypatch.setattr("vi.fast.session.step", counting)
    parts = (vi.MLP([8]), vi.MLP([8]), vi.DiagonalGaussian(2), vi.StandardNormal(2))
    data = LoadedData(
        Values(torch.rand(N, 6).round()), None, Values(torch.rand(5, 6).round()), (6,)
    )
    vi.fit(
        vi.VAE((6,), *parts, vi.Bernoulli()),
        data,
        vi.Beta(vi.ELBO(), beta=2.0, warmup_steps=6),
        epochs=3,
        batch_size=BATCH,
        run_dir=tmp_path,
        callbacks=[],
        progress_bar=False,
    )
    assert replayed == [2.0] * (3 * 4 - 6)

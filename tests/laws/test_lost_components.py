"""Hard EM that loses a component fills it again, and its objective never falls by that."""

import copy
from itertools import pairwise

import pytest
import torch
from sklearn.cluster import KMeans

import vi
from vi.data.base import Batch
from vi.distributions.delta import Delta
from vi.models.spare import Spare
from vi.schemes.base import Context

N, D, C = 60, 2, 4


@pytest.fixture(autouse=True)
def _double(float64):
    """Laws run in double precision."""


def reals():
    return 8 * torch.eye(3, D)[torch.arange(N) % 3] + torch.randn(N, D)


def counts():
    return torch.poisson(reals().abs())


def bits():
    return (torch.rand(N, D) < 0.5).double()


def gmm(covariance, **values):
    return vi.GMM((D,), C, covariance, **values)


# {id: makes a mixture and data}
KINDS = {
    "kmeans": lambda: (gmm(vi.Spherical(tied=True), learn_weights=False), reals()),
    "given": lambda: (gmm(vi.Spherical(scale=1.0), learn_weights=False), reals()),
    "full": lambda: (gmm(vi.Full(), learn_weights=False), reals()),
    "diagonal": lambda: (gmm(vi.Diagonal(floor=1e-2)), reals()),
    "tied": lambda: (gmm(vi.Full(tied=True)), reals()),
    "no_floor": lambda: (gmm(vi.Full(floor=0.0)), reals()),
    "prior": lambda: (gmm(vi.Full(prior_count=2.0)), reals()),
    "poisson": lambda: (vi.PoissonMixture((D,), C, prior_count=0.0), counts()),
    "poisson_prior": lambda: (vi.PoissonMixture((D,), C), counts()),
    "bernoulli": lambda: (
        vi.BernoulliMixture((D,), C, prior_count=0.0, learn_weights=False),
        bits(),
    ),
}
FIXED = ["kmeans", "given", "full", "bernoulli"]


@torch.no_grad()
def start(kind):
    """A mixture whose last two components are too far away to have data."""
    model, x = KINDS[kind]()
    if kind == "bernoulli":
        x[x[:, 0] != x[:, 1]] = 0.0  # none is as the last two components are sure of
    model.calibrate(x)
    z = torch.nn.functional.one_hot(torch.arange(N) % 2, C).double()
    model._maximize(model.statistics(x, Delta(z)))
    model.weight_logits.zero_()
    for name, far in (("loc", 1e4), ("log_rate", 20.0)):
        if hasattr(model, name):
            getattr(model, name)[2:] = far
    if kind == "bernoulli":
        model.logits[2:] = torch.tensor([[40.0, -40.0], [-40.0, 40.0]])
    return model, x


def epoch(scheme, model, x, size=N):
    batches = [Batch(x[i], {}, i) for i in torch.arange(len(x)).split(size)]
    for batch in batches:
        scheme.step(Context(model, vi.ELBO()), batch)
    scheme.end_epoch(vi.ELBO(), model, batches[0])


def inertia(model, x):
    return float(torch.cdist(x, model.loc.detach()).amin(1).square().sum())


@pytest.mark.parametrize("size", [N, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_hard_em_survives_a_lost_component(kind, size):
    """sum_n max_z log p(x_n, z) + log p(theta), computed apart, never falls over 30 epochs.

    Caught: "component 2 is empty"; a datum that is moved although weights are learned and too
    little is won.
    """
    (model, x), scheme, values = start(kind), vi.HardEM(tolerance=0.0), []
    assert (model.posterior(x).mean.argmax(1) < 2).all()
    for _ in range(30):
        best = model.log_joint_table(x).amax(1).sum()
        values.append(float((best + model.log_prior()).detach()))
        epoch(scheme, model, x, size)
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))
    assert values[-1] > values[0]
    assert all(p.isfinite().all() for p in model.state_dict().values())


@pytest.mark.parametrize("size", [N, 7])
def test_a_lost_centre_goes_to_the_farthest_datum(size):
    """As in Lloyd's algorithm: k-means ends within 1e-9 of scikit-learn's inertia.

    Three groups and a datum far from all; two of four centres are lost. Caught: the nearest datum.
    """
    model, x = start("kmeans")
    x[-1] = 40.0
    farthest = torch.cdist(x, model.loc.detach()).amin(1).argmax()
    assert farthest == N - 1
    epoch(vi.HardEM(), model, x, size)
    assert (model.loc[2] - x[-1]).abs().max() <= 1e-9
    scheme = vi.HardEM()
    while not scheme.converged:
        epoch(scheme, model, x, size)
    theirs = KMeans(C, n_init=10, random_state=0).fit(x.numpy()).inertia_
    assert inertia(model, x) <= theirs * (1 + 1e-9)


@torch.no_grad()
@pytest.mark.parametrize("kind", FIXED)
def test_with_fixed_weights_a_refill_always_wins(kind):
    """F(q', theta') >= F(q, theta*) of the M-step without it: 20 random groupings.

    Its proof: the datum has its greatest density alone, and the others are no worse off. Caught:
    a datum that is taken from a component of one.
    """
    model, x = start(kind)
    for _ in range(20):
        z = torch.nn.functional.one_hot(torch.randint(2, (N,)), C).double()
        statistics = model.statistics(x, Delta(z))
        model._maximize(statistics)
        plain = float(model.free_energy(statistics))
        spare = Spare.of(x, z, (z * model.log_joint_table(x)).sum(1))
        refilled = model.m_step_refilled(statistics, spare)
        assert (refilled["mass"] > 0).all()
        assert refilled["mass"].sum() == N
        assert float(model.free_energy(refilled)) >= plain
        assert not (statistics["mass"] > 0).all()  # what was given is as it was


@torch.no_grad()
def test_one_datum_is_not_taken_from_a_component_of_one():
    """Two data, two of four components have one each: nothing moves and nothing is raised."""
    model, x = start("kmeans")
    z = torch.eye(C)[:2]
    statistics = model.statistics(x[:2], Delta(z))
    spare = Spare.of(x[:2], z, torch.tensor([-1.0, -2.0]))
    assert model.m_step_refilled(statistics, spare) is statistics


def test_what_is_spared_is_the_least_of_all_batches():
    """Of each component, in whatever batches. Caught: the first batch that wins a tie with inf."""
    x, z = torch.randn(N, D), torch.nn.functional.one_hot(torch.arange(N) % 3, C).double()
    value = torch.randn(N)
    whole = Spare.of(x, z, value)
    parts = [Spare.of(*part) for part in zip(x.split(7), z.split(7), value.split(7), strict=True)]
    merged = Spare.none(x, C)
    for part in parts:
        merged = merged | part
    assert (
        whole.order()
        == merged.order()
        == value[: 3 * (N // 3)].view(-1, 3).amin(0).argsort().tolist()
    )
    assert torch.equal(whole.x[:3], merged.x[:3])
    assert torch.equal(whole.log_joint, merged.log_joint)


@pytest.mark.parametrize("make", [vi.HardEM, vi.StochasticEM])
@pytest.mark.parametrize("cut", [2, 4])
def test_a_cut_epoch_remembers_what_it_could_spare(make, cut):
    """Bit for bit as without the cut. Caught: the data of the batches before it forgotten."""
    (model, x), scheme = start("kmeans"), make()
    x[0] = 40.0
    batches = [Batch(x[i], {}, i) for i in torch.arange(N).split(13)]

    def go(scheme, model, steps):
        for step in steps:
            torch.manual_seed(step)
            scheme.step(Context(model, vi.ELBO()), batches[step])
        if step == 4:
            scheme.end_epoch(vi.ELBO(), model, batches[0])

    go(scheme, model, range(cut))
    again, resumed = copy.deepcopy(model), make()
    resumed.load_state_dict(copy.deepcopy(scheme.state_dict()))
    go(scheme, model, range(cut, 5))
    go(resumed, again, range(cut, 5))
    assert torch.equal(again.loc, model.loc)
    assert (model.loc[2:].abs() < 100).all()


def test_stochastic_em_survives_a_draw_without_a_component():
    """50 epochs of six components on six data: draws leave some of them without. None is lost."""
    x = torch.randn(6, D)
    model = vi.GMM((D,), C, vi.Spherical(scale=1.0), learn_weights=False)
    model.initialize(x)
    scheme, empty = vi.StochasticEM(), 0
    for _ in range(50):
        epoch(scheme, model, x, 4)
        empty += int((model.posterior(x).sample().sum(0) == 0).any())
        assert model.loc.isfinite().all()
    assert empty > 5

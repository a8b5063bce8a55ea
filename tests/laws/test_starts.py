"""Starts of mixtures: k-means as good as scikit-learn's, and EM from its groups."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

import vi
from vi.cli.composing.compose import composed
from vi.config.build import build
from vi.config.run import Run
from vi.data.base import Batch
from vi.distributions.delta import Delta
from vi.initializations.lloyd import Partition, lloyd, swapped
from vi.schemes.base import Context


@pytest.fixture(autouse=True)
def _double(float64):
    """Run laws in double precision."""


def climb(scheme, model, x, epochs=200):
    """Run EM until it converges, in batches of 50."""
    batches = [Batch(x[i], {}, i) for i in torch.arange(len(x)).split(50)]
    for _ in range(epochs):
        for batch in batches:
            scheme.step(Context(model, vi.ELBO()), batch)
        scheme.end_epoch(vi.ELBO(), model, batches[0])
        if scheme.converged:
            break


def kmeans(x, num_components, seed=0):
    """Return model=kmeans with scheme=hard_em, as the command line makes them."""
    torch.manual_seed(seed)
    plain = composed("train", ["model=kmeans", f"num_components={num_components}"], Run)
    model = build("model", plain["model"], defaults={**plain, "data_shape": x.shape[1:]})
    scheme = vi.HardEM()
    scheme.initialize(model, x)
    climb(scheme, model, x)
    return model


def inertia(model, x):
    centres = model.loc.detach()
    mode = "donot_use_mm_for_euclid_dist"
    return float(torch.cdist(x, centres, compute_mode=mode).amin(1).square().sum())


def seventeen():
    """Return seventeen rows, nine of them distinct."""
    pairs = "10 3 11 4 50 20 50 20 10 3 45 25 53 17 45 25 11 4 48 23 47 9 2 1 2 1 2 0 2 1 2 0 2 0"
    return torch.tensor([float(n) for n in pairs.split()]).unflatten(0, (17, 2))


def blobs(num=12, n=600, dim=4):
    return 8 * torch.randn(num, dim)[torch.randint(num, (n,))] + torch.randn(n, dim)


def test_three_values_are_three_centres():
    """Three distinct values become three centres.

    Caught: responsibilities of 0.9, which pull small groups to the mean and leave one empty.
    """
    x = torch.tensor([0.0, 1.0] * 5 + [100.0] * 10)[:, None]
    for offset in (0.0, 1e10):
        model = kmeans(x + offset, 3)
        centres = model.loc.detach().flatten().sort().values - offset
        assert centres.tolist() == [0.0, 1.0, 100.0]
        assert inertia(model, x + offset) == 0.0


@pytest.mark.parametrize("num_components", range(5, 10))
def test_duplicates_are_grouped_as_by_scikit_learn(num_components):
    """With duplicates the inertia is at most 1e-9 above scikit-learn's."""
    x = seventeen()
    theirs = KMeans(num_components, n_init=10, random_state=0).fit(x.numpy()).inertia_
    assert inertia(kmeans(x, num_components), x) <= theirs + 1e-9


def test_more_components_than_different_data_are_refused_by_their_number():
    with pytest.raises(vi.DataError, match="10 components are more than the 9 different") as no:
        kmeans(seventeen(), 10)
    assert no.value.hint == "model.num_components=9 or less"


@pytest.mark.parametrize("num_components", [2, 3, 5])
def test_few_groups_have_the_inertia_of_scikit_learn(num_components):
    """From two seeds the inertia is at most 0.1 % above scikit-learn's best of ten.

    Caught: a single start.
    """
    x = blobs()
    theirs = KMeans(num_components, n_init=10, random_state=0).fit(x.numpy()).inertia_
    for seed in range(2):
        assert inertia(kmeans(x, num_components, seed), x) <= theirs * 1.001


@pytest.mark.slow
@pytest.mark.parametrize("num_components", [10, 20])
def test_many_groups_have_no_more_inertia_than_those_of_scikit_learn(num_components):
    """The median over ten seeds is at most that over ten random states of scikit-learn.

    Each of those is its best of ten starts.
    """
    x = blobs(30, 1500)
    ours = [inertia(kmeans(x, num_components, seed), x) for seed in range(10)]
    theirs = [KMeans(num_components, n_init=10, random_state=s).fit(x) for s in range(10)]
    assert np.median(ours) <= np.median([t.inertia_ for t in theirs]) * (1 + 1e-9)


def test_an_empty_group_takes_the_farthest_datum():
    """Three centres, two of them far away from everything: all end at data.

    Caught: 0 / 0 as a mean; two empty groups at one datum that is there twice.
    """
    x = torch.tensor([[0.0], [0.1], [5.0], [5.0], [-9.0]])
    found = lloyd(x, torch.tensor([[0.0], [1e3], [2e3]]))
    assert found.centres.flatten().sort().values.tolist() == pytest.approx([-9.0, 0.05, 5.0])
    assert found.nearest.unique().numel() == 3
    assert found.inertia == pytest.approx(0.005)


def test_a_swap_leaves_a_bad_optimum():
    """A swap escapes two centres in one group and one between two others, which Lloyd's cannot."""
    x = torch.cat([torch.randn(50, 1), 100 + torch.randn(50, 1), 110 + torch.randn(50, 1)])
    stuck = lloyd(x, torch.tensor([[-0.5], [0.5], [105.0]]))
    assert stuck.inertia > 2000
    assert isinstance(mended := swapped(x, stuck, 10), Partition)
    assert mended.inertia < 200


def tight():
    """Return groups whose spread is 1e-5 of their distances, two of them close together."""
    centres = torch.tensor([[0.0, 0.0], [0.0, 0.1], [100.0, 100.0], [-50.0, 70.0]])
    return (centres[:, None] + 1e-3 * torch.randn(4, 12, 2)).flatten(0, 1)


@pytest.mark.parametrize("kind", ["full", "diagonal", "spherical", "tied"])
@pytest.mark.parametrize("num_components", [2, 4])
def test_soft_em_of_tight_groups_is_as_good_as_the_best_of_ten(kind, num_components):
    """log p(x) is at least scikit-learn's best of ten minus 0.01 nats, also far from 0.

    With the data moved by 2^33 it is the same to 1e-4 nats. Caught: a start that is smeared over
    all groups.
    """
    x = (tight() * 2**14).round() / 2**14
    name = {"diagonal": "diag"}.get(kind, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = max(
            GaussianMixture(num_components, covariance_type=name, random_state=s)
            .fit(x.numpy())
            .score(x.numpy())
            for s in range(10)
        )
    levels = []
    for offset in (0.0, 2.0**33):
        torch.manual_seed(0)
        covariance = build(
            "covariance", composed("train", [f"covariance={kind}"], Run)["covariance"]
        )
        model = vi.GMM((2,), num_components, covariance)
        model.initialize(x + offset)
        climb(vi.ExactEM(), model, x + offset)
        levels.append(float(model.log_evidence(x + offset).mean().detach()))
    assert levels[0] >= theirs - 0.01
    assert levels[1] == pytest.approx(levels[0], abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("make", [vi.Full, vi.Diagonal, vi.Spherical])
@pytest.mark.parametrize("tied", [False, True])
def test_a_floor_is_the_maximum_above_it(make, tied):
    """The floored covariance has the greatest energy of 50 others above the floor.

    It also lies where it should. Caught: the floor added to the covariance.
    """
    x = torch.cat([torch.randn(40, 3) * torch.tensor([1.0, 1.0, 1e-4]), 5 + torch.randn(40, 3)])
    model = vi.GMM((3,), 2, make(tied=tied, floor=0.05))
    model.calibrate(x)
    z = torch.nn.functional.one_hot(torch.arange(80) // 40).double()
    statistics = model.statistics(x, Delta(z))
    model.m_step(statistics)
    covariance = model.covariance
    best = float(model.energy(statistics).detach())
    scatter = model._scatter(statistics, model.loc - model.origin).detach()
    optimum = scatter / (80 if tied else 40)
    for _ in range(50):
        other = (1 + 0.3 * torch.rand(())) * covariance.raised(
            optimum + 0.1 * torch.rand(()) * covariance.project_diagonal(torch.rand(3))
        )
        assert covariance.eigenvalues(other).min() >= 0.05 * (1 - 1e-9)
        covariance.assign(other)
        assert float(model.energy(statistics).detach()) < best


def test_a_negative_floor_is_refused():
    with pytest.raises(vi.ConfigurationError, match="floor must be at least 0, got -1"):
        vi.Full(floor=-1.0)
    with pytest.raises(vi.ConfigurationError, match="trials must be greater than 0"):
        vi.KMeansPlusPlus(trials=0)

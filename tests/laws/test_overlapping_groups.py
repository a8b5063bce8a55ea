"""Mixtures of groups that overlap: as good as the best of ten starts of scikit-learn."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import GaussianMixture

import vi
from tests.laws.test_starts import climb

NAMES = {"full": vi.Full, "diag": vi.Diagonal}


@pytest.fixture(autouse=True)
def _double(float64):
    """Laws run in double precision."""


def groups(num, dim, n, seed):
    """Gaussians of unlike shapes, whose means are about twice their spread apart."""
    r = np.random.default_rng(seed)
    centres, shapes = 2 * r.normal(size=(num, dim)), 0.5 * r.normal(size=(num, dim, dim))
    z = r.integers(num, size=n)
    noise = np.einsum("nij,nj->ni", shapes[z] + np.eye(dim), r.normal(size=(n, dim)))
    return centres[z] + noise


def ours(x, num_components, kind, seed):
    """Nats per datum where exact EM ends in its default epochs."""
    torch.manual_seed(seed)
    model, rows = vi.GMM(x.shape[1:], num_components, NAMES[kind]()), torch.from_numpy(x)
    model.initialize(rows)
    climb(vi.ExactEM(), model, rows)
    return float(model.log_evidence(rows).mean().detach())


def theirs(x, num_components, kind, seed):
    """Of its best of ten, with its own tolerance."""
    mixture = GaussianMixture(num_components, covariance_type=kind, n_init=10, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(x).score(x)


def test_iris_in_five():
    """At least the best of three random states less 0.03 nats.

    Caught: starts that are chosen after ten iterations, which says little of where they end, and
    all by Lloyd's algorithm (0.037 short).
    """
    x = load_iris().data
    assert ours(x, 5, "full", 0) >= max(theirs(x, 5, "full", s) for s in range(3)) - 0.03


# {id: data and number of components}
GRID = {
    "2 in 5": lambda: (groups(2, 2, 300, 0), 5),
    "2 in 5, otherwise": lambda: (groups(2, 2, 300, 2), 5),
    "3 in 6": lambda: (groups(3, 2, 300, 1), 6),
    "4 in 8": lambda: (groups(4, 3, 400, 0), 8),
    "5 in 10": lambda: (groups(5, 3, 1000, 503), 10),
    "5 in 8 of 2000": lambda: (groups(5, 5, 2000, 505), 8),
    "iris": lambda: (load_iris().data, 5),
    "wine": lambda: (load_wine().data[:, [0, 1, 12, 6]], 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", GRID)
def test_many_groups_are_as_good_as_the_best_of_ten(name, kind):
    """Five seeds and five of its states: the median less 0.01 nats, the worst less 0.03."""
    x, num_components = GRID[name]()
    levels = [ours(x, num_components, kind, seed) for seed in range(5)]
    median = np.median([theirs(x, num_components, kind, seed) for seed in range(5)])
    assert np.median(levels) >= median - 0.01
    assert min(levels) >= median - 0.03

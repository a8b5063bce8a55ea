"""EM of mixtures takes the steps of scikit-learn, and k-means is its limit."""

import itertools
from functools import cache

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from tests.support.mixtures import C, D, covariance, em_iteration, reals, scale_tril
from tests.support.parts import part
from vi.cli.composing.compose import composed
from vi.config.build import build
from vi.config.run import Run
from vi.covariances.spherical import Spherical
from vi.distributions.delta import Delta
from vi.models.gmm import GMM

TYPES = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


@pytest.mark.parametrize("option", list(TYPES))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_em_takes_the_steps_of_scikit_learn(option):
    """The mean log p(x) after 1, 2, .., 10 iterations from the same start equals its own: 1e-8.

    Caught: N_c - 1 for N_c; the mean of D variances for their sum.
    """
    x = reals() + 100
    model = GMM((D,), C, covariance(option), restarts=1)
    model.initialize(x)
    theirs = GaussianMixture(
        C,
        covariance_type=TYPES[option],
        tol=0,
        reg_covar=0,
        max_iter=1,
        warm_start=True,
        weights_init=model.log_weights().detach().exp().numpy(),
        means_init=model.loc.detach().numpy().copy(),
        precisions_init=_precisions(model, option),
    )
    for _ in range(10):
        em_iteration(model, x)
        theirs.fit(x.numpy())
        ours = model.log_evidence(x).mean().item()
        assert abs(ours - theirs.score(x.numpy())) <= 1e-8


def _precisions(model, option):
    tril = scale_tril(model).detach()
    precision = (tril @ tril.mT).inverse()
    match option:
        case "full":
            return precision.numpy()
        case "tied":
            return precision[0].numpy()
        case "diagonal":
            return precision.diagonal(dim1=1, dim2=2).numpy()
    return precision[:, 0, 0].numpy()


def hard(q):
    """Put all mass on the most likely component."""
    return Delta(torch.nn.functional.one_hot(q.mean.argmax(-1), q.mean.shape[-1]).double())


@cache
def _kmeans_of(num_components):
    """Return the configuration of k-means that the command line composes."""
    options = ["model=kmeans", f"num_components={num_components}"]
    return composed("train", options, Run)["model"]


def _kmeans(x, num_components):
    kmeans = _kmeans_of(num_components)
    defaults = {"data_shape": x.shape[1:], "initialization": part("initialization", "random")}
    model = build("model", kmeans, defaults=defaults)
    model.initialize(x)
    return model


def test_hard_em_of_kmeans_is_kmeans():
    """From the same centres the inertia is scikit-learn's, and no iteration raises it: 1e-10.

    Caught: weights that are learned.
    """
    x = reals()
    model = _kmeans(x, 5)
    theirs = KMeans(5, init=model.loc.detach().numpy(), n_init=1, tol=0).fit(x.numpy())
    inertia = []
    for _ in range(100):
        q = hard(model.posterior(x))
        inertia.append(float((x - q.mean @ model.loc.detach()).square().sum()))
        model.m_step(model.statistics(x, q))
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(inertia))
    assert inertia[-1] == pytest.approx(theirs.inertia_, rel=1e-10)


def test_soft_em_of_a_small_scale_is_kmeans():
    """EM from the centres of k-means moves them less the smaller s is, finally less than 1e-6.

    Caught: a scale that is learned although it is given.
    """
    x = reals()
    kmeans = _kmeans(x, C)
    for _ in range(100):
        kmeans.m_step(kmeans.statistics(x, hard(kmeans.posterior(x))))
    distances = []
    for scale in (1.0, 0.3, 0.03):
        model = GMM((D,), C, Spherical(scale=scale), learn_weights=False)
        model.loc.data.copy_(kmeans.loc)
        for _ in range(200):
            model.m_step(model.e_step(x))
        distances.append(float((model.loc - kmeans.loc).detach().abs().max()))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] <= 1e-6

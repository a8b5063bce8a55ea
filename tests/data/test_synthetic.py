"""Data with a known truth: the truth is right, and the data are drawn from it."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from tests.support.oracles import LinearGaussian
from vi.cli.composing.compose import composed
from vi.cli.train import train
from vi.config.registry import options, resolve, target_of
from vi.config.run import Run
from vi.data.synthetic import LinearGaussianData, Mixture2D, Synthetic
from vi.errors import ConfigurationError

_CLASSES = {option: resolve(target_of("data", option), "data") for option in options("data")}
KINDS = {option: cls for option, cls in _CLASSES.items() if issubclass(cls, Synthetic)}
TRUTH = "data/true_log_likelihood"

# A t-value above this has probability 2e-6 for one number, 2e-5 for a family of ten.
BAR = 4.75


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


def parts(data):
    return data.train, data.val, data.test


def draws(data, n=200_000):
    return data.items(n, torch.Generator().manual_seed(1))


def t_of_moments(standard):
    """|t| of the first and second moments of what should be (n, D) standard normal."""
    n, dim = standard.shape
    eye = torch.eye(dim, dtype=standard.dtype)
    second = (standard.mT @ standard / n - eye) / (1 + eye).sqrt()
    return math.sqrt(n) * torch.cat([standard.mean(0), second.flatten()]).abs()


def components(data):
    """(pi_c, mu_c, S_c) as numpy sees them."""
    factor = data.factor.numpy()
    return zip(data.weights.numpy(), data.loc.numpy(), factor @ factor.mT, strict=True)


def test_sizes_and_facts(kind):
    data = kind(n_train=30, n_val=20, n_test=10).load()
    assert [len(split) for split in parts(data)] == [30, 20, 10]
    assert data.train.stored.dtype == torch.float32
    assert data.facts["data/split"] == "drawn from the truth, truth_seed 0"
    assert isinstance(data.facts[TRUTH], float)
    assert kind(n_train=3, n_val=0, n_test=2).load().val is None


def test_shapes():
    assert LinearGaussianData(data_dim=6, n_train=3).load().shape == (6,)
    assert Mixture2D(n_train=3).load().shape == (2,)


def test_data_are_a_function_of_the_truth_seed_alone(kind):
    """Not of the run's seed, the global random state, or the size of another split.

    Caught: the global generator.
    """
    one = kind().load(0)
    torch.manual_seed(5)
    other = kind(n_train=7).load(1)
    for a, b in zip(parts(one)[1:], parts(other)[1:], strict=True):
        assert torch.equal(a.stored, b.stored)
    assert torch.equal(one.train.stored, kind().load(2).train.stored)
    assert one.facts[TRUTH] == other.facts[TRUTH]
    assert not torch.equal(one.test.stored, kind(truth_seed=1).load().test.stored)


def test_the_global_random_state_is_left_alone(kind):
    before = torch.get_rng_state()
    kind().load()
    assert torch.equal(before, torch.get_rng_state())


def test_every_split_has_its_own_stream(kind):
    """No real number is in two splits, and hardly a row of bits stands in one place of two.

    Caught: one stream for all splits, one for validation and test.
    """
    stored = [split.stored for split in parts(kind().load())]
    rows = torch.cat(stored)
    assert len(rows) == 7000
    if not (rows == rows.round()).all():
        assert len(rows.unique(dim=0)) == len(rows)
    for one, other in combinations(stored, 2):
        same = (one[:1000] == other[:1000]).flatten(1).all(1)
        assert same.float().mean() < 0.5


@pytest.mark.parametrize(
    ("name", "expected"), [("linear_gaussian", -11.203612), ("mixture_2d", -2.618485)]
)
def test_the_number_of_the_default_truth_is_known(name, expected):
    """Published numbers hold with every version of torch, or this says that they do not."""
    assert KINDS[name]().load().facts[TRUTH] == pytest.approx(expected, abs=1e-6)


def test_the_linear_truth_is_scipys_and_the_oracles(float64):
    """Caught: s in place of s^2, W W' 1 % too large."""
    truth = LinearGaussianData(data_dim=5, latent_dim=2, scale=0.7)
    data = truth.load()
    x, weight = data.test.stored, truth.weight.numpy()
    covariance = weight @ weight.T + 0.49 * np.eye(5)
    theirs = multivariate_normal(truth.loc.numpy(), covariance).logpdf(x.numpy()).mean()
    oracle = LinearGaussian(truth.weight, truth.loc, 0.7).log_evidence(x).mean().item()
    assert data.facts[TRUTH] == pytest.approx(theirs, abs=1e-11)
    assert data.facts[TRUTH] == pytest.approx(oracle, abs=1e-11)


def test_the_mixtures_truth_is_scipys(float64):
    """Caught: weights that do not sum to 1, A' A for a covariance."""
    truth = Mixture2D(num_clusters=3)
    data = truth.load()
    x = data.test.stored.numpy()
    logs = [np.log(w) + multivariate_normal(m, s).logpdf(x) for w, m, s in components(truth)]
    assert data.facts[TRUTH] == pytest.approx(logsumexp(logs, axis=0).mean(), abs=1e-11)


def test_with_labels_the_truth_is_that_of_the_components(float64):
    """A model that is told the component is compared with log p(x|component).

    Caught: log p(x), 1.6 nats below what such a model can reach.
    """
    truth = Mixture2D(context="label")
    data = truth.load()
    assert data.context_dim == 5
    labels = data.test.given["context"].argmax(1)
    densities = [multivariate_normal(m, s) for _, m, s in components(truth)]
    pairs = zip(data.test.stored.numpy(), labels.tolist(), strict=True)
    theirs = np.mean([densities[c].logpdf(x) for x, c in pairs])
    assert data.facts[TRUTH] == pytest.approx(theirs, abs=1e-11)
    unlabelled = Mixture2D().load()
    assert torch.equal(unlabelled.test.stored, data.test.stored)
    assert (unlabelled.context_dim, unlabelled.test.given) == (0, {})


def test_linear_data_follow_the_truth():
    """200 000 draws, seed 1, 44 moments of the whitened data: false alarm 9e-5.

    Caught: a scale 1 % too small.
    """
    data = LinearGaussianData()
    truth = data.truth()
    white = torch.linalg.solve_triangular(
        truth.scale_tril, (draws(data).stored - truth.loc).mT, upper=False
    )
    assert t_of_moments(white.mT).max() <= BAR


def test_clusters_follow_the_truth():
    """200 000 draws, seed 1, the weights and 25 moments: false alarm 6e-5.

    Caught: the transposed factor, equal weights.
    """
    data = Mixture2D(context="label")
    items = draws(data)
    for c, (weight, loc, covariance) in enumerate(components(data)):
        x = items.stored[items.labels == c] - torch.from_numpy(loc)
        n = len(items)
        assert abs(len(x) - n * weight) <= BAR * math.sqrt(n * weight * (1 - weight))
        factor = torch.linalg.cholesky(torch.from_numpy(covariance))
        white = torch.linalg.solve_triangular(factor, x.mT, upper=False).mT
        assert t_of_moments(white).max() <= BAR


def test_clusters_are_unequal_and_slanted():
    data = Mixture2D()
    assert data.weights.sum().item() == pytest.approx(1, abs=1e-15)
    assert data.weights.max() > 1.2 * data.weights.min()
    covariance = data.factor @ data.factor.mT
    assert (covariance[:, 0, 1].abs() > 1e-3).all()
    torch.testing.assert_close(data.loc.norm(dim=1), torch.full((5,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (LinearGaussianData, "data_dim", 0),
        (LinearGaussianData, "latent_dim", 0),
        (LinearGaussianData, "scale", 0.0),
        (Mixture2D, "num_clusters", 0),
        (Mixture2D, "n_train", 0),
        (LinearGaussianData, "n_val", -1),
        (Mixture2D, "n_test", 0),
    ],
)
def test_what_cannot_be_is_refused(cls, name, value):
    with pytest.raises(ConfigurationError, match=f"data.{name} must be greater than"):
        cls(**{name: value})


def test_the_model_has_the_size_of_the_truth():
    chosen = ["data=linear_gaussian", "data.latent_dim=4"]
    plain = composed("train", chosen, Run)
    assert (plain["posterior"]["latent_dim"], plain["prior"]["latent_dim"]) == (4, 4)
    assert composed("train", [*chosen, "latent_dim=2"], Run)["prior"]["latent_dim"] == 2
    plain = composed("train", ["data=mixture_2d", "data.num_clusters=7"], Run)
    assert plain["num_components"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [*KINDS, "mixture_2d data.context=label"])
def test_two_epochs_from_the_command_line(chosen, tmp_path):
    """The metrics hold the truth beside the model's number, which is below it."""
    short = ["trainer.max_epochs=2", "data.n_train=500", "evaluation.num_samples=10"]
    plain = composed("train", [*f"data={chosen}".split(), *short], Run)
    train(Run(**plain), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test/elbo"] < metrics[TRUTH]

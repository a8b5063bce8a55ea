"""Intervals of differences of log p(x) against their closed form, for linear-Gaussian models."""

import pytest
import torch
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

import vi
from tests.support.oracles import LinearGaussian
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.paired import Difference, Scores, differences, scores
from vi.models.base import LatentVariableModel


def stretched(by: float):
    """The posterior, which is factorised if W has orthogonal columns, so many times as wide."""

    def infer(model: LinearGaussian, x: torch.Tensor) -> Distribution:
        exact = model.exact_posterior(x)
        return Independent(Normal(exact.loc, by * exact.stddev, validate_args=False), 1)

    return infer


def marginal(model: LinearGaussian) -> MultivariateNormal:
    """p(x)."""
    noise = (2 * model.log_scale).exp() * torch.eye(len(model.loc), dtype=torch.float64)
    return MultivariateNormal(model.loc, model.weight @ model.weight.mT + noise)


def expected(of: MultivariateNormal, under: MultivariateNormal) -> float:
    """E log p(x) for x from another Gaussian."""
    apart = of.precision_matrix @ (under.covariance_matrix - of.covariance_matrix)
    return (of.log_prob(under.loc) - (apart.trace() + len(of.loc)) / 2).item()


def a_truth() -> LinearGaussian:
    return LinearGaussian(torch.randn(5, 2).double(), torch.randn(5).double(), 1.0)


def with_q(weight: torch.Tensor, loc: torch.Tensor, by: float) -> LinearGaussian:
    zeros = torch.zeros(2, dtype=torch.float64)
    prior = Independent(Normal(zeros, zeros + 1, validate_args=False), 1)
    return LinearGaussian(weight, loc, 1.0, stretched(by), prior)


def near(truth: LinearGaussian, by: float) -> LinearGaussian:
    """A model with orthogonal factors about the truth, and a reliable q: 1.3 times as wide."""
    weight, loc = (p.detach() + by * torch.randn_like(p) for p in (truth.weight, truth.loc))
    left, size, _ = torch.linalg.svd(weight, full_matrices=False)
    return with_q(left * size, loc, 1.3)


@torch.no_grad()
def measured(model: LatentVariableModel, x: torch.Tensor) -> Scores:
    evaluation = ImportanceSampling(2000)
    columns = evaluation(model, x)
    return scores(columns, evaluation.summarize(columns))


@torch.no_grad()
def pair(n: int, seed: int, by: tuple[float, float] = (0.2, 0.2)) -> tuple[Difference, float]:
    """The difference of two models on n data of a third, and its true value."""
    torch.manual_seed(seed)
    truth = a_truth()
    a, b = near(truth, by[0]), near(truth, by[1])
    x = marginal(truth).sample((n,))
    found = differences([measured(a, x), measured(b, x)], seed=seed)[0, 1]
    of = marginal(truth)
    return found, expected(marginal(a), of) - expected(marginal(b), of)


def shares(pairs: int, n: int) -> tuple[float, float]:
    """Shares covered, and decided wrongly."""
    found = [pair(n, seed) for seed in range(pairs)]
    covered = sum(d.lower <= truth <= d.upper for d, truth in found)
    wrong = sum(d.sign * truth < 0 for d, truth in found)
    return covered / pairs, wrong / pairs


def test_the_expected_difference_is_that_of_a_large_sample():
    """100 000 data, 4 s.e."""
    torch.manual_seed(0)
    truth = a_truth()
    p, q = marginal(near(truth, 0.2)), marginal(truth)
    values = p.log_prob(q.sample((100_000,)))
    error = values.std().item() / 100_000**0.5
    assert values.mean().item() == pytest.approx(expected(p, q), abs=4 * error)


def test_few_intervals_cover_the_true_difference():
    """12 pairs, 32 data: at least 9, 4 s.e. of 6 % below 95 %. Caught: no error over data."""
    covered, wrong = shares(12, 32)
    assert covered >= 9 / 12
    assert wrong <= 2 / 12


@pytest.mark.slow
def test_intervals_cover_the_true_difference():
    """200 pairs, 100 data, K = 2 000: 92 to 98 %, and at most 2.5 % are decided wrongly."""
    covered, wrong = shares(200, 100)
    assert 0.92 <= covered <= 0.98
    assert wrong <= 0.025


def test_a_better_model_is_found():
    """One is near the truth, the other far from it: found in all of 5 pairs of 48 data."""
    for seed in range(5):
        found, truth = pair(48, seed, (0.05, 1.0))
        assert truth > 0
        assert found.sign == 1


def test_two_evaluation_seeds_of_one_model_are_undecided():
    """10 times, with a probability of 5 % at most each: decided at most 3 times.

    Caught: the values of one evaluation taken as exact.
    """
    decided = 0
    for seed in range(10):
        torch.manual_seed(seed)
        model = near(a_truth(), 0.2)
        x = marginal(model).sample((32,))
        a, b = measured(model, x), measured(model, x)
        assert not torch.equal(a.value, b.value)
        decided += differences([a, b], resamples=500, seed=seed)[0, 1].sign != 0
    assert decided <= 3


def test_a_q_that_misses_the_posterior_never_loses():
    """The same model by a q of a fifth of the width: too low by a nat, and nothing is decided.

    Caught: both ends kept, by which the model is worse than itself.
    """
    torch.manual_seed(0)
    good = near(a_truth(), 0.2)
    bad = with_q(good.weight.detach(), good.loc.detach(), 0.2)
    x = marginal(good).sample((48,))
    a, b = measured(bad, x), measured(good, x)
    assert not a.bounded
    assert b.bounded
    found = differences([a, b])[0, 1]
    assert found.value < -0.2
    assert found.sign == 0


def test_an_exact_model_is_compared_with_an_estimate():
    """PPCA by its closed form against itself by importance sampling: undecided, and close."""
    torch.manual_seed(0)
    model = vi.PPCA((5,), latent_dim=2).double()
    x = model.sample(32)
    columns = {"log_evidence": model.log_evidence(x).detach()}
    exact, estimate = scores(columns, {}), measured(model, x)
    found = differences([exact, estimate])[0, 1]
    assert found.sign == 0
    assert abs(found.value) < 1e-3

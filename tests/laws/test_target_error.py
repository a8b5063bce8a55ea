"""Importance sampling that stops at a standard error."""

import pytest
import torch
from torch.distributions import MultivariateNormal

import vi
from tests.support.oracles import LinearGaussian, inflated
from vi.data.base import Values
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.errors import ConfigurationError
from vi.evaluation.over_split import measure
from vi.math import log_mean_exp

N = 30


def spread(model: LinearGaussian, x: torch.Tensor) -> MultivariateNormal:
    """Of some data 1.1 times as wide as the posterior, of the others 2 times."""
    exact = model.exact_posterior(x)
    scale = 1.1 + 0.9 * (x[:, 0] > model.loc[0])
    return MultivariateNormal(exact.loc, scale_tril=scale[:, None, None] * exact.scale_tril)


def case() -> tuple[LinearGaussian, torch.Tensor]:
    """With standard errors of .005 and .035 at K = 2 000."""
    torch.manual_seed(0)
    model = LinearGaussian.random(6, 3, spread)
    return model, model.sample(N)


def test_every_datum_draws_until_its_error_is_small_enough():
    """The error is at most the target, or K is the largest; K is 2 000, doubled or the largest.

    Caught: a comparison the other way round.
    """
    model, x = case()
    found = vi.log_likelihood(model, x, 10_000, target_se=0.02)
    k = found.num_samples
    assert set(k.tolist()) <= {2000, 4000, 8000, 10_000}
    assert len(set(k.tolist())) > 1
    assert ((found.standard_error <= 0.02) | (k == 10_000)).all()


def test_an_estimate_that_stopped_is_the_one_of_its_k():
    """Bit for bit that of num_samples=2000; that of another K sees the same draws: 1e-9.

    Caught: the tail of the largest K fitted where the estimate stopped; rows that were exchanged.
    """
    model, x = case()
    with datum_noise(0, range(N)):
        found = vi.log_likelihood(model, x, 8000, target_se=0.02)
    with datum_noise(0, range(N)):
        fixed = vi.log_likelihood(model, x, 2000)
    early = found.num_samples == 2000
    assert 0 < early.sum() < N
    for column, other in zip(found[:4], fixed[:4], strict=True):
        assert torch.equal(column[early], other[early])
    q, sizes = model.posterior(x), 2 * (15 * [128] + [80]) + 31 * [128] + [32]
    with datum_noise(0, range(N)):
        parts = [draw(q, size) for size in sizes]
    log_w = torch.cat([model.log_joint(x, part.z) - part.log_q for part in parts])
    for b in range(N):
        k = int(found.num_samples[b])
        assert found.value[b].item() == pytest.approx(
            log_mean_exp(log_w[:k, b], 0).item(), abs=1e-9
        )


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_changes_no_number(batch_size):
    """Neither the value nor K of a datum: at most 1e-12. Caught: K of the slowest of a batch."""
    model, x = case()
    evaluation = vi.ImportanceSampling(5000, target_se=0.02)
    whole, cut = (
        measure(model, Values(x), vi.LogWeightELBO(), evaluation, batch_size=size).columns
        for size in (N, batch_size)
    )
    for name in whole:
        assert torch.allclose(cut[name], whole[name], rtol=1e-12, atol=1e-12), name


def test_a_later_estimate_has_the_same_noise_wherever_the_first_one_stopped():
    """Draws that were not made are counted. Caught: noise that depends on the target."""
    model, x = case()
    later = []
    for target in (0.001, 10.0):
        with datum_noise(0, range(N)):
            vi.log_likelihood(model, x, 5000, target_se=target)
            later.append(vi.log_likelihood(model, x, 5).value)
    assert torch.equal(*later)


def test_stopping_leaves_a_small_bias_that_the_interval_of_the_mean_has_room_for():
    """1 000 data at the worst target, at which half of them stop at once.

    For a wide q a value that is too high has a small error, and stops: by .16 of its errors in the
    mean, which is .2 at most and 5 errors of the mean of these data. Caught: m +- 2 se.
    """
    torch.manual_seed(0)
    model = LinearGaussian.random(2, 1, inflated(3.0))
    x = model.sample(1000)
    evaluation = vi.ImportanceSampling(8000, target_se=0.0243)
    columns = evaluation(model, x)
    assert 200 < (columns["num_samples"] == 2000).sum() < 800
    error, numbers = columns["standard_error"], evaluation.summarize(columns)
    z = (columns["log_likelihood"] + error.square() / 2 - model.log_evidence(x)) / error
    assert 4 / 1000**0.5 < z.mean() <= 0.2 + 4 / 1000**0.5
    assert 0.92 <= (z.abs() <= 2).double().mean() <= 0.98
    truth = model.log_evidence(x).mean().item()
    assert numbers["log_likelihood"] - 2 * numbers["log_likelihood_se"] > truth
    assert numbers["log_likelihood_lower"] <= truth <= numbers["log_likelihood_upper"]


def test_numbers_say_how_many_were_drawn():
    """The mean K, and K of every datum. Caught: the largest K, which few needed."""
    model, x = case()
    evaluation = vi.ImportanceSampling(8000, target_se=0.02)
    found = measure(model, Values(x), vi.LogWeightELBO(), evaluation)
    drawn = found.columns["num_samples"]
    assert found.numbers["log_likelihood_samples"] == round(drawn.mean().item()) < 8000
    assert found.columns["reliable"].mean() == found.numbers["log_likelihood_reliable"]


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan")])
def test_a_target_that_is_no_error_is_refused(target):
    model, x = case()
    for attempt in (
        lambda: vi.log_likelihood(model, x, target_se=target),
        lambda: vi.ImportanceSampling(target_se=target),
    ):
        with pytest.raises(ConfigurationError, match="target_se must be greater than 0"):
            attempt()

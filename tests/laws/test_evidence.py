"""log p(x) = ELBO + KL(q || p(z|x)), exactly, for Gaussian and for enumerated latents."""

import pytest
import torch

import vi
from tests.support.oracles import (
    LinearGaussian,
    SigmaPoints,
    five_gaussians,
    three_bits,
)

N, D, Z = 50, 8, 3


def _random_q(model: LinearGaussian, x: torch.Tensor) -> SigmaPoints:
    """Return a full-covariance q per datum that is unrelated to the posterior."""
    tril = torch.randn(len(x), Z, Z).tril(-1) + torch.diag_embed(torch.rand(len(x), Z) + 0.2)
    return SigmaPoints(torch.randn(len(x), Z), scale_tril=tril)


@pytest.fixture
def ppca() -> tuple[LinearGaussian, torch.Tensor]:
    model = LinearGaussian.random(D, Z)
    return model, model.sample(N)


def test_evidence_is_elbo_plus_gap(make_elbo, ppca):
    """log p(x) = ELBO + gap over sigma points, which are exact for the quadratic log-joint: 1e-10.

    Caught: the sign of the KL; a forgotten log p(z); a sum over draws in place of the mean.
    """
    model, x = ppca
    q = _random_q(model, x)
    model.infer = lambda model, x: q
    elbo = make_elbo(num_samples=2 * Z)(model, x).value
    assert model.gap(x).min() > 0.1
    assert (model.log_evidence(x) - elbo - model.gap(x)).abs().max() <= 1e-10


@pytest.mark.parametrize("num_samples", [1, 2, 7])
def test_log_weights_of_the_exact_posterior_are_the_evidence(
    make_log_weight_bound, ppca, num_samples
):
    """With the exact q every bound of log-weights is log p(x) pointwise, on random draws: 1e-10.

    Caught: a forgotten log K; log q of other samples than z; the mean over the batch.
    """
    model, x = ppca
    value = make_log_weight_bound(num_samples=num_samples)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


def test_closed_forms_of_the_exact_posterior_are_the_evidence(make_elbo, ppca):
    """With the exact q the forms with a closed-form KL or entropy are log p(x) over sigma points.

    Caught: the entropy of the prior in place of the entropy of q.
    """
    model, x = ppca
    exact = model.exact_posterior(x)
    model.infer = lambda model, x: SigmaPoints(exact.loc, scale_tril=exact.scale_tril)
    value = make_elbo(num_samples=2 * Z)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


@pytest.mark.parametrize("make", [three_bits, five_gaussians])
def test_enumerated_evidence_is_elbo_plus_gap(make_elbo, make):
    """log p(x) = ELBO + gap for q with rational probabilities n_s / M, given by M draws: 1e-11.

    Caught: the sign of the KL; a forgotten log p(z).
    """
    model, x = make(20)
    elbo = make_elbo(num_samples=int(model.counts[0].sum()))(model, x).value
    assert (model.log_evidence(x) - elbo - model.gap(x)).abs().max() <= 1e-11


@pytest.mark.parametrize("make", [three_bits, five_gaussians])
def test_importance_weights_over_all_atoms_sum_to_the_evidence(make):
    """(1/M) sum_s n_s p(x, s) / (n_s / M) = p(x), for IWAE and log_likelihood: at most 1e-11.

    Caught: a forgotten log K in either.
    """
    model, x = make(20)
    num_samples = int(model.counts[0].sum())
    evidence = model.log_evidence(x)
    assert (vi.IWAE(num_samples)(model, x).value - evidence).abs().max() <= 1e-11
    model.counts = model.counts[:16]  # log_likelihood walks over groups of 16 data
    estimate = vi.log_likelihood(model, x[:16], num_samples)
    assert (estimate.value - evidence[:16]).abs().max() <= 1e-11

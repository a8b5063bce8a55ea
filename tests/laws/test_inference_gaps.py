"""What the family of q costs and what the encoder costs."""

import pytest
import torch

import vi
from tests.laws.test_semi_amortised import _SigmaFullGaussian
from tests.support.inference import amortized
from vi.distributions.kl import closed_form_kl
from vi.evaluation.inference_gaps import InferenceGaps

WEIGHT = [[1.0, 0.9], [0.9, 1.0], [0.3, 0.2], [0.0, 0.5], [0.5, 0.0]]
CLIMB = vi.GradientAscent(num_steps=400, lr=0.05, momentum=0.8)


def ppca(posterior):
    """PPCA with unit noise, latents that hang together given x, and an encoder at its start."""
    exact = vi.PPCA((5,), 2)
    with torch.no_grad():
        exact.log_scale.zero_()
        exact.weight.copy_(torch.tensor(WEIGHT))
    return amortized(exact, vi.MLP([]), posterior)


def test_a_family_with_the_posterior_has_no_approximation_gap():
    """Draws that are sigma points: log p(x), 0 and KL(q || p(z|x)), each to 1e-8.

    Caught: the two gaps exchanged, the ELBO of the encoder's q for both.
    """
    model = ppca(_SigmaFullGaussian(2))
    x = model.sample(20)
    found = InferenceGaps(CLIMB, num_samples=4, num_draws=4)(model, x)
    kl = closed_form_kl(model.posterior(x), model.exact_posterior(x)).detach()
    assert kl.min() >= 1e-2
    assert (found["log_likelihood"] - model.log_evidence(x)).abs().max() <= 1e-8
    assert found["approximation_gap"].abs().max() <= 1e-8
    assert (found["amortization_gap"] - kl).abs().max() <= 1e-8


def test_the_best_diagonal_gaussian_has_the_gap_of_mean_field():
    """KL(q* || p(z|x)) = (sum_d log L_dd - log det L) / 2 with the precision L of the posterior.

    The mean of 40 data, 0.22 nats, to 0.05, which holds what noisy steps leave; both together,
    6.3 nats, to 0.1. Caught: a q* that is the encoder's q.
    """
    model = ppca(vi.DiagonalGaussian(2))
    x = model.sample(40)
    precision = model.exact_posterior(x).precision_matrix[0]
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert gap >= 0.05
    evaluation = InferenceGaps(vi.AdamAscent(500, lr=0.02), num_samples=2000, num_draws=50)
    columns = evaluation(model, x)
    numbers = evaluation.summarize(columns)
    whole = (model.log_evidence(x) - columns["refined_elbo"] + columns["amortization_gap"]).mean()
    kl = closed_form_kl(model.posterior(x), model.exact_posterior(x)).mean()
    assert abs(numbers["approximation_gap"] - gap) <= 0.05
    assert abs(whole - kl) <= 0.1


def test_a_datum_is_measured_the_same_in_any_batch(small_vae, data):
    """At most 1e-10. Caught: noise of the batch."""
    from vi.distributions.datum_noise import datum_noise

    model, evaluation = small_vae(), InferenceGaps(vi.AdamAscent(3), num_samples=50)
    with datum_noise(0, range(20)):
        whole = evaluation(model, data[:20])
    with datum_noise(0, [7]):
        one = evaluation(model, data[7:8])
    for name, column in whole.items():
        assert torch.allclose(column[7:8], one[name], rtol=0, atol=1e-10, equal_nan=True)


def test_numbers_that_cannot_be_are_refused():
    for option in ("num_samples", "num_draws"):
        with pytest.raises(vi.ConfigurationError, match=f"{option} must be greater than 0"):
            InferenceGaps(CLIMB, **{option: 0})

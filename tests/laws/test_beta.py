"""The weight beta on the KL, and its warm-up."""

import pytest
import torch

import vi


@pytest.fixture
def model(small_vae):
    return small_vae()


def _same_noise(bound, model, x):
    torch.manual_seed(3)
    return bound(model, x)


def test_weight_one_is_the_inner_bound(make_bound, model, data):
    """With beta = 1, value, surrogate and terms are the inner bound's, same noise: 1e-12."""
    inner = make_bound(num_samples=3)
    plain, weighted = (
        _same_noise(inner, model, data),
        _same_noise(vi.Beta(inner, 1.0), model, data),
    )
    assert (plain.value - weighted.value).abs().max() <= 1e-12
    assert (plain.surrogate - weighted.surrogate).abs().max() <= 1e-12
    for name, term in plain.terms.items():
        assert torch.equal(term, weighted.terms[name])


def test_value_is_reconstruction_minus_beta_kl(make_elbo, model, data):
    """At most 1e-12. Caught: beta on the reconstruction, beta in place of beta - 1."""
    estimate = vi.Beta(make_elbo(num_samples=3), beta=2.5)(model, data)
    terms = estimate.terms
    expected = terms["reconstruction"] - 2.5 * terms["kl"]
    assert (estimate.value - expected).abs().max() <= 1e-12
    assert (estimate.surrogate - expected).abs().max() <= 1e-12


def test_terms_still_tell_the_elbo(model, data):
    """The terms are exactly those of the inner bound. Caught: terms["elbo"] weighted as well."""
    plain = _same_noise(vi.ELBO(3), model, data)
    weighted = _same_noise(vi.Beta(vi.ELBO(3), beta=4.0), model, data)
    assert torch.equal(weighted.terms["elbo"], plain.value)
    assert not torch.equal(weighted.value, plain.value)


@pytest.mark.parametrize(
    ("step", "weight"), [(0, 0.5), (50, 2.25), (99, 3.965), (100, 4.0), (101, 4.0), (10**6, 4.0)]
)
def test_warm_up(step, weight):
    """The weight rises linearly from start to beta.

    Caught: start ignored; an end at 2 x warmup_steps.
    """
    bound = vi.Beta(vi.ELBO(), beta=4.0, warmup_steps=100, start=0.5)
    bound.at_step(step)
    assert bound.weight == pytest.approx(weight, abs=1e-12)


def test_without_warm_up_the_weight_is_final_at_once():
    assert vi.Beta(vi.ELBO(), beta=4.0).weight == 4.0


def test_outside_training_the_weight_is_final(model, data):
    """``eval()`` uses the final weight at once; ``train()`` returns to the warm-up."""
    bound = vi.Beta(vi.ELBO(3), beta=4.0, warmup_steps=100)
    final = _same_noise(vi.Beta(vi.ELBO(3), beta=4.0), model, data).value
    assert bound.weight == 0.0
    bound.eval()
    assert bound.weight == 4.0
    assert torch.equal(_same_noise(bound, model, data).value, final)
    bound.train()
    assert bound.weight == 0.0


def test_nested_warm_ups_are_told_the_step():
    """The wrapped bound receives the step, and ``warmup_steps`` is the longer of the two warm-ups.

    Caught: ``at_step`` not passed on.
    """
    inner = vi.Beta(vi.ELBO(), beta=2.0, warmup_steps=200)
    outer = vi.Beta(inner, beta=3.0, warmup_steps=10)
    outer.at_step(100)
    assert (inner.weight, outer.weight, outer.warmup_steps) == (1.0, 3.0, 200)

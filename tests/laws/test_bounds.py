"""Identities between the bounds, the growth of IWAE with K, and the terms of each bound."""

from itertools import pairwise

import pytest
import torch

import vi
from tests.support.oracles import (
    FixedNoise,
    LinearGaussian,
    fix_noise,
    inflated,
    sigma_noise,
    standard_error,
)
from vi.distributions.datum_noise import datum_noise


def _same_noise(bound, model, x, **given):
    torch.manual_seed(3)
    return bound(model, x, **given)


def test_shapes_and_terms(make_bound, small_vae, data):
    """Value, surrogate and terms have shape (B,), and elbo = reconstruction - kl: at most 1e-12.

    Caught: the wrong sign of the KL in the terms; the mean taken over the batch.
    """
    estimate = make_bound(num_samples=4)(small_vae(), data)
    assert {"elbo", "kl", "reconstruction"} <= estimate.terms.keys()
    for part in (estimate.value, estimate.surrogate, *estimate.terms.values()):
        assert part.shape == (50,)
        assert part.isfinite().all()
    terms = estimate.terms
    assert (terms["elbo"] - terms["reconstruction"] + terms["kl"]).abs().max() <= 1e-12


def test_reconstruction_is_the_mean_of_log_p_x_given_z(make_bound, small_vae, data):
    """Every bound reports the same E_q[log p(x|z)] for the same draws: at most 1e-12.

    Caught: log p(x, z) in place of log p(x|z).
    """
    model = small_vae()
    torch.manual_seed(3)
    z = model.posterior(data).rsample((4,))
    expected = model.likelihood(z).log_prob(data).mean(0)
    told = _same_noise(make_bound(num_samples=4), model, data).terms["reconstruction"]
    assert (told - expected).abs().max() <= 1e-12


def test_every_parameter_has_a_gradient(make_bound, small_vae, data):
    """Encoder, decoder and scale have nonzero gradients. Caught: a detached log p(x|z)."""
    model = small_vae()
    make_bound(num_samples=3)(model, data).surrogate.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_datum_does_not_know_its_batch(make_bound, small_vae, data):
    """Reversing the batch reverses the values, if the noise belongs to the datum.

    Caught: the log-mean-exp over the batch; a seed from the row in the batch.
    """
    model, bound = small_vae(), make_bound(num_samples=3)
    with datum_noise(0, range(50)):
        forward = bound(model, data).value
    with datum_noise(0, range(49, -1, -1)):
        backward = bound(model, data.flip(0)).value
    assert (forward - backward.flip(0)).abs().max() <= 1e-12


def test_what_the_model_conditions_on_arrives_everywhere(make_bound, small_vae, data):
    """A context changes every value; a missing context is an error. Caught: a context times 0."""
    model = small_vae(context_dim=3)
    bound, context = make_bound(num_samples=2), torch.randn(50, 3)
    one = _same_noise(bound, model, data, context=context).value
    other = _same_noise(bound, model, data, context=context + 1).value
    assert ((one - other).abs() > 1e-6).all()
    with pytest.raises(vi.ConfigurationError, match="context of width 3, got none"):
        bound(model, data)


def test_given_reaches_prior_likelihood_and_posterior(make_bound, small_vae, data):
    """``**given`` reaches all three calls. Caught: a forgotten ``**given`` in one of them."""
    heard = {"prior": 0, "likelihood": 0, "posterior": 0}

    def listen(role, method):
        def call(*args, **given):
            assert given.keys() == {"year"}, role
            heard[role] += 1
            return method(*args, **given)

        return call

    model = small_vae()
    for role in heard:
        object.__setattr__(model, role, listen(role, getattr(model, role)))
    make_bound(num_samples=2)(model, data, year=torch.zeros(50))
    assert min(heard.values()) > 0


def test_iwae_of_one_sample_is_the_elbo(small_vae, data):
    """IWAE with K = 1 is the ELBO of the same noise: at most 1e-12.

    Caught: a forgotten log K (K + 1 in its place).
    """
    model = small_vae()
    elbo = _same_noise(vi.LogWeightELBO(1), model, data)
    iwae = _same_noise(vi.IWAE(1), model, data)
    assert (iwae.value - elbo.value).abs().max() <= 1e-12
    assert (iwae.surrogate - elbo.surrogate).abs().max() <= 1e-12


def test_iwae_tells_the_elbo_of_its_samples(small_vae, data):
    """terms["elbo"] is the LogWeightELBO of the same K draws, below the value (Jensen).

    Caught: terms["elbo"] holding the bound.
    """
    model = small_vae()
    elbo = _same_noise(vi.LogWeightELBO(5), model, data)
    iwae = _same_noise(vi.IWAE(5), model, data)
    assert (iwae.terms["elbo"] - elbo.value).abs().max() <= 1e-12
    assert (iwae.value > iwae.terms["elbo"]).all()


def test_the_three_forms_agree_in_expectation(make_elbo, small_vae, data):
    """The three forms of the ELBO agree over sigma points, for a linear decoder: at most 1e-10.

    Caught: a dropped log p(z).
    """
    model = fix_noise(small_vae(latent_dim=3, decoder=vi.MLP([])), sigma_noise(3))
    elbo = vi.ELBO(6)(model, data).value
    assert (make_elbo(num_samples=6)(model, data).value - elbo).abs().max() <= 1e-10


def test_the_three_forms_agree_over_the_generator(small_vae, data):
    """The three forms of the ELBO agree for a curved decoder, over 20 000 random draws, seed 0.

    Two paired differences, 5 s.e.: fails by chance once in 900 000.
    """
    model, x = small_vae(), data[:1].expand(20_000, -1)
    elbo, entropy, log_weight = (
        bound(model, x).value for bound in (vi.ELBO(), vi.EntropyELBO(), vi.LogWeightELBO())
    )
    for other in (entropy, log_weight):
        difference = other - elbo
        assert difference.mean().abs() <= 5 * standard_error(difference)


def test_single_precision_follows_double(make_bound, small_vae, data):
    """float32 agrees with float64 for the same noise: at most 1e-5 relative.

    Caught: a log-likelihood rounded to bfloat16.
    """
    noise = torch.randn(4, 50, 2)
    values = []
    model = small_vae()
    for dtype in (torch.float64, torch.float32):
        cast = fix_noise(model, noise.to(dtype)).to(dtype)
        values.append(make_bound(num_samples=4)(cast, data.to(dtype)).value.double())
    assert (values[1] / values[0] - 1).abs().max() <= 1e-5


def test_iwae_rises_with_the_number_of_samples():
    """IWAE increases with K = 1, 2, .., 64: 4 000 paired replicates, seed 0, each paired t >= 5.

    A replicate is a datum with 64 draws of z; its IWAE(K) is the mean over the 64 / K blocks of K
    draws. The last is at most log p(x) + 4 s.e. (fails by chance once in 30 000). Caught: a
    forgotten log K; the log-mean-exp over the batch; the mean of the log-weights.
    """
    model = LinearGaussian.random()
    noise = torch.randn(64, 4000, 3)
    with torch.no_grad():
        x = model.sample(4000)
        values = [_iwae_over_blocks(model, x, noise, 2**i) for i in range(7)]
        for fewer, more in pairwise(values):
            rise = more - fewer
            assert rise.mean() / standard_error(rise) >= 5
        excess = values[-1] - model.log_evidence(x)
    assert excess.mean() <= 4 * standard_error(excess)


def _iwae_over_blocks(model, x, noise, num_samples):
    """Return IWAE(K) of each datum, averaged over blocks of K draws; each block is a datum."""
    blocks = noise.reshape(num_samples, -1, x.shape[0], 3)
    q = model.exact_posterior(x)
    infer = lambda model, x: FixedNoise(q_loc, q_scale, blocks.flatten(1, 2))
    repeat = blocks.shape[1]
    q_loc, q_scale = q.mean.repeat(repeat, 1), 1.6 * q.stddev.repeat(repeat, 1)
    model.infer = infer
    return vi.IWAE(num_samples)(model, x.repeat(repeat, 1)).value.reshape(repeat, -1).mean(0)


def test_far_from_the_data_nothing_overflows():
    """IWAE of log-weights near -1e6 nats is the evidence to 1e-10 relative.

    Caught: log(mean(exp)).
    """
    model, x = LinearGaussian.random(), 1000 * torch.randn(3, 8)
    assert (vi.IWAE(8)(model, x).value / model.log_evidence(x) - 1).abs().max() <= 1e-10


@pytest.mark.parametrize("num_samples", [1, 4])
def test_elbo_stays_below_the_evidence(make_elbo, num_samples):
    """The expected ELBO is below log p(x).

    20 000 data of the model, seed 0, within 4 s.e. (1 in 30 000 each).
    """
    model = LinearGaussian.random(infer=inflated(1.6))
    with torch.no_grad():
        x = model.sample(20_000)
        excess = make_elbo(num_samples=num_samples)(model, x).value - model.exact_elbo(x)
    assert excess.mean().abs() <= 4 * standard_error(excess)

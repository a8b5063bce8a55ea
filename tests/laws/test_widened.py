"""Half of the draws from a wider q: unbiased whatever q is, and far better for a narrow one."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal

import vi
from tests.laws.conftest import POSTERIORS
from tests.support.oracles import LinearGaussian, inflated
from vi.distributions.datum_noise import datum_noise
from vi.distributions.support import support_name
from vi.distributions.widened import Widened
from vi.errors import ConfigurationError


@pytest.mark.parametrize("num_samples", [1, 2, 3, 10])
def test_weights_are_unbiased(num_samples):
    """The mean of p-hat / p of 4 000 estimates is 1 within 4 s.e.; q is .7 as wide, and shifted.

    1.6 x .7 > 1, so that the weights of two or more draws have a variance. Caught: the density
    without its volume; halves weighted by their own densities; one half twice as large as its
    share.
    """
    torch.manual_seed(0)
    model = LinearGaussian.random(6, 2, inflated(0.9 if num_samples == 1 else 0.7))
    x = model.sample(1).expand(4000, -1)
    found = vi.log_likelihood(model, x, num_samples, widen=1.6)
    ratio = (found.value - model.log_evidence(x)).exp()
    assert (ratio.mean() - 1).abs() <= 4 * ratio.std() / len(x) ** 0.5


@pytest.mark.parametrize("num_samples", [6, 7])
def test_the_density_is_that_of_both_parts(num_samples):
    """Against the formula, written out with the share of each part: at most 1e-10.

    Caught: log q of the draw before it was stretched.
    """
    torch.manual_seed(0)
    loc, scale = torch.randn(5, 3), torch.rand(5, 3) + 0.5
    q, wide = (Independent(Normal(loc, s * scale), 1) for s in (1, 2.5))
    z, log_r = Widened(q, 2.5).rsample_and_log_prob((num_samples,))
    share = (num_samples - num_samples // 2) / num_samples
    expected = share * q.log_prob(z).exp() + (1 - share) * wide.log_prob(z).exp()
    assert (log_r - expected.log()).abs().max() <= 1e-10


def test_a_narrow_q_ends_near_the_truth():
    """d = 10, sd x .4, K = 5 000, 60 data: within .02 nats, where a plain q is off by 1.4.

    Caught: draws that are stretched and weighted by q alone.
    """
    torch.manual_seed(0)
    model = LinearGaussian.random(12, 10, inflated(0.4))
    x = model.sample(60)
    plain, widened = (
        (vi.log_likelihood(model, x, 5000, widen=w).value - model.log_evidence(x)).mean()
        for w in (None, 2.0)
    )
    assert plain < -1
    assert widened.abs() <= 0.02


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_posterior_is_widened_or_refused(name):
    """The densities of all real z integrate the ratio q / r to 1 within 4 s.e.; others refuse.

    Caught: an ensemble or a mixture whose draws are in blocks.
    """
    torch.manual_seed(0)
    head = POSTERIORS[name](2)
    q = head.eval()(0.5 * torch.randn(4, *head.out_shape))
    if support_name(head.support) != "Real":
        with pytest.raises(ConfigurationError, match="cannot be widened"):
            Widened(q, 1.5)
        return
    z, log_r = Widened(q, 1.5).rsample_and_log_prob((4000,))
    ratio = (q.log_prob(z) - log_r).exp()
    assert ratio.max() <= 2 * (1 + 1e-6)
    assert ((ratio.mean(0) - 1).abs() <= 5 * ratio.std(0) / math.sqrt(len(z))).all()


def test_an_ensemble_is_widened_evenly():
    """Each encoder has both kinds of draws: log p(x) within 4 s.e. of that of the plain ensemble.

    Caught: the later encoders stretched and the earlier ones not.
    """
    torch.manual_seed(0)
    inference = vi.Ensemble(vi.MLP([4]), vi.DiagonalGaussian(2), num_encoders=3)
    model = vi.VAE(
        (5,),
        decoder=vi.MLP([4]),
        prior=vi.StandardNormal(2),
        likelihood=vi.Bernoulli(),
        inference=inference,
    )
    for p in model.inference.parameters():
        p.data += 0.7 * torch.randn_like(p)
    x = torch.randint(0, 2, (20, 5)).double()
    a, b = (vi.log_likelihood(model, x, 5001, widen=w) for w in (None, 1.5))
    reach = 4 * (a.standard_error.square() + b.standard_error.square()).sqrt()
    assert ((a.value - b.value).abs() <= reach).all()


def test_the_noise_of_a_datum_is_its_own():
    """Alone as in a batch: at most 1e-12."""
    torch.manual_seed(0)
    model = LinearGaussian.random(6, 2, inflated(0.7))
    x = model.sample(20)
    with datum_noise(0, range(20)):
        whole = vi.log_likelihood(model, x, 301, widen=1.5).value
    with datum_noise(0, [17]):
        alone = vi.log_likelihood(model, x[17:18], 301, widen=1.5).value
    assert (alone - whole[17]).abs() <= 1e-12


@pytest.mark.parametrize("factor", [1.0, 0.5, math.inf, math.nan])
def test_a_factor_that_widens_nothing_is_refused(factor):
    with pytest.raises(ConfigurationError, match="widen must be a number above 1"):
        vi.ImportanceSampling(widen=factor)

"""Exact mixtures: evidence by enumeration, M-steps that are maxima, EM that never decreases."""

import copy
import itertools
from functools import cache

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Poisson,
)

import vi
from tests.support.mixtures import C, D, bits, counts, covariance, em_iteration, reals, scale_tril
from tests.support.oracles import standard_error
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.covariances.full import Full
from vi.covariances.spherical import Spherical
from vi.models.bernoulli_mixture import BernoulliMixture
from vi.models.gmm import GMM
from vi.models.poisson_mixture import PoissonMixture


def _gmm(option, prior_count=0.0, **values):
    return lambda: (GMM((D,), C, covariance(option, prior_count=prior_count), **values), reals())


# {id: makes a mixture and data}; every covariance yaml is among them.
KINDS = {
    **{option: _gmm(option) for option in options("covariance")},
    **{f"{option}_prior": _gmm(option, 5.0) for option in options("covariance")},
    "spherical_given": lambda: (GMM((D,), C, Spherical(scale=1.5)), reals()),
    "fixed_weights": _gmm("full", learn_weights=False),
    "bernoulli": lambda: (BernoulliMixture((D,), C), bits()),
    "bernoulli_no_prior": lambda: (BernoulliMixture((D,), C, prior_count=0.0), bits()),
    "poisson": lambda: (PoissonMixture((D,), C), counts()),
    "poisson_no_prior": lambda: (PoissonMixture((D,), C, prior_count=0.0), counts()),
}


@cache
def started(kind):
    """A mixture at its start and data, the same for all tests, whatever their random state."""
    with torch.random.fork_rng(devices=[]):
        model, x = KINDS[kind]()
        model.restarts = 1  # the best of several starts would leave EM little to do
        model.initialize(x)
    return model, x


@pytest.fixture(params=list(KINDS))
def start(request):
    """A copy of the mixture at its start for one test, and data."""
    model, x = started(request.param)
    return copy.deepcopy(model), x.clone()


def reference(model):
    """Return the same mixture made of torch's distributions."""
    match model:
        case GMM():
            components = MultivariateNormal(model.loc, scale_tril=scale_tril(model))
        case BernoulliMixture():
            components = Independent(Bernoulli(logits=model.logits), 1)
        case PoissonMixture():
            components = Independent(Poisson(model.log_rate.exp()), 1)
    return MixtureSameFamily(
        torch.distributions.Categorical(logits=model.weight_logits), components
    )


def test_evidence_is_that_of_torch(start):
    """log p(x) is torch's: at most 1e-11 relative.

    Caught: a forgotten log pi; 2 log |L| without the 2.
    """
    model, x = start
    expected = reference(model).log_prob(x)
    assert (model.log_evidence(x) / expected - 1).abs().max() <= 1e-11


def test_evidence_sums_the_joint_over_the_support(start):
    """log sum_z p(x, z), with p(x|z) p(z) and with log_joint, is log p(x): at most 1e-11.

    Caught: log_joint without the prior.
    """
    model, x = start
    z = model.prior().enumerate_support()[:, None].expand(C, len(x), C)
    by_parts = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
    joint = model.log_joint(x, z)
    assert (joint - by_parts).abs().max() <= 1e-11
    assert (joint.logsumexp(0) - model.log_evidence(x)).abs().max() <= 1e-11


def test_free_energy_of_the_posterior_is_the_evidence(start):
    """Energy + entropy, from the statistics alone, is log p(x): at most 1e-10 nats per datum.

    Caught: N D log 2 pi of one component only; the scatter about the old centre.
    """
    model, x = start
    model.m_step(model.e_step(x))  # centres that are not means of these responsibilities
    gap = model.free_energy(model.e_step(x)) - model.log_evidence(x).sum()
    assert gap.abs() <= 1e-10 * len(x)


@pytest.mark.parametrize("bound", ["elbo", "elbo_entropy", "elbo_log_weight"])
def test_bounds_are_the_evidence(start, bound):
    """Every form of the ELBO sums over z, so that it is log p(x): at most 1e-10.

    Caught: log p(x|z) of the wrong component.
    """
    model, x = start
    estimate = build("bound", part("bound", bound))(model, x)
    assert (estimate.value - model.log_evidence(x)).abs().max() <= 1e-10


def test_the_m_step_is_a_stationary_point(start):
    """The M-step maximises energy + log prior: |gradient| per datum at most 1e-8.

    No random step away from it is better. Caught: N_c + n_0 - 1 in place of N_c + n_0; the scatter
    about the origin; S_0 without n_0.
    """
    model, x = start
    statistics = model.e_step(x)
    model.m_step(statistics)
    value = model.energy(statistics) + model.log_prior()
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() <= 1e-8 * len(x), name
    saved = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(20):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name] + 0.01 * torch.randn_like(parameter))
        assert model.energy(statistics) + model.log_prior() < value


def test_em_never_falls(start):
    """log p(x) + log p(theta) over 100 iterations of EM: a drop of at most 1e-9 relative.

    Caught: an M-step without the prior that log_prior counts; a tied scatter divided by N_c.
    """
    model, x = start
    values = [em_iteration(model, x) for _ in range(100)]
    assert values[-1] > values[0]
    for before, after in itertools.pairwise(values):
        assert after >= before - 1e-9 * abs(before)


def test_statistics_add_up(start):
    """Statistics of batches of 7 add up to the whole: at most 1e-12 relative.

    Caught: a mean in place of a sum.
    """
    model, x = start[0], start[1][:60]
    whole = model.e_step(x)
    first, *others = (model.e_step(rows) for rows in x.split(7))
    total = sum(others, start=first)
    assert whole.sums.keys() == total.sums.keys()
    for name, value in whole.sums.items():
        assert (total[name] - value).abs().max() <= 1e-12 * value.abs().max().clamp(min=1), name


def test_statistics_hold_no_graph(start):
    """Statistics have no autograd graph. Caught: sums that keep every batch alive."""
    model, x = start
    assert not any(v.requires_grad for v in model.e_step(x).sums.values())


def test_reconstruction_is_the_mean_under_the_posterior(start):
    """E[x|z] at z = E_q[z] is sum_c r_c E[x|c]: at most 1e-12. Caught: the nearest component."""
    model, x = start
    r, p = model.posterior(x).mean, reference(model)
    expected = r @ p.component_distribution.mean
    assert (model.reconstruct(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert (model.encode(x) - r).abs().max() == 0


def test_samples_have_the_moments_of_the_mixture(start):
    """The means of x, x^2 and x_i x_j of adjacent entries over 100 000 draws, seed 0: 5 s.e.

    12 per kind: fails by chance once in 140 000. Caught: noise coloured with L' in place of L.
    """
    model, _ = start
    p, x = reference(model), model.sample(100_000)
    moments = (
        (x, p.mean),
        (x.square(), p.variance + p.mean.square()),
        (x * x.roll(1, 1), _neighbours(model)),
    )
    for values, expected in moments:
        assert ((values.mean(0) - expected).abs() <= 5 * standard_error(values)).all()


def _neighbours(model):
    """Return E[x_d x_(d-1)], (D,), with x_(-1) the last."""
    loc, weights = model.component_means(), model.log_weights().exp()
    product = loc * loc.roll(1, 1)
    if isinstance(model, GMM):
        tril = scale_tril(model)
        product = product + (tril * tril.roll(1, 1)).sum(-1)
    return weights @ product


def test_gradient_ascent_climbs(start):
    """Gradient schemes can train a mixture. Caught: a detached covariance."""
    model, x = start
    before = model.log_evidence(x).mean()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(50):
        optimizer.zero_grad()
        (-vi.ELBO()(model, x).surrogate.mean()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().max() > 0, name
        optimizer.step()
    assert model.log_evidence(x).mean() > before


def test_saving_and_loading_keeps_every_bit(start, tmp_path):
    """Loading restores every bit. Caught: an origin or a fixed weight that is not a buffer."""
    model, x = start
    again = vi.load(vi.save(model, tmp_path / "model"))
    assert torch.equal(again.log_evidence(x), model.log_evidence(x))
    assert torch.equal(again.log_prior(), model.log_prior())


def test_data_in_single_precision_are_welcome(start):
    """float32 data give the results of the same numbers in float64, bit for bit.

    Caught: a forgotten cast.
    """
    model, x = start
    single = x.float()
    assert torch.equal(model.log_evidence(single), model.log_evidence(single.double()))


def test_many_dimensions_are_summed_as_few():
    """The two ways to compute second moments agree: at most 1e-12.

    Caught: a last block left out.
    """
    x, r = torch.randn(1000, 40), torch.rand(1000, C).softmax(-1)
    few = Full().second_moment(x[:, :32], r)
    many = Full().second_moment(x, r)
    assert (few - many[:, :32, :32]).abs().max() <= 1e-12 * few.abs().max()


def test_images_are_flat():
    """Images are flattened. Caught: an event shape (2, 2) in place of (4,)."""
    assert GMM((2, 2), C, Full()).data_shape == (4,)

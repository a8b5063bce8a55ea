"""Densities integrate to 1, samples have their moments, and gradients pass through draws."""

import math

import pytest
import torch
from torch import Tensor

from tests.laws.conftest import distribution_of
from vi.distributions.conditional import ConditionalDistribution
from vi.testing.densities import (
    check_every_parameter_counts,
    check_gradient_of_draws,
    check_integral,
    check_moments,
)
from vi.testing.quadrature import dimensions, expectation


def _params(head: ConditionalDistribution, *batch: int) -> Tensor:
    return torch.randn(*batch, *head.out_shape)


@torch.no_grad()
def test_posterior_integrates_to_one(make_posterior):
    """In two sizes, at most 1e-9. Caught: a log-density 0.001 nats too high."""
    for dim in dimensions(make_posterior(2).support):
        head = make_posterior(dim)
        check_integral(head(_params(head, 2)), head.support)


@torch.no_grad()
def test_prior_integrates_to_one(make_prior):
    """In two sizes, at most 1e-9. Caught: a log-density 0.001 nats too high."""
    for dim in dimensions(make_prior(2).support):
        prior = make_prior(dim)
        check_integral(distribution_of(prior), prior.support)


@torch.no_grad()
def test_likelihood_integrates_to_one(make_likelihood):
    """In two sizes, at most 1e-9. Caught: a log-density 0.001 nats too high."""
    for dim in dimensions(make_likelihood().support):
        head = make_likelihood().eval()
        head.set_event_shape((dim,))
        check_integral(head(_params(head, 2)), head.support)


@pytest.mark.parametrize("dim", [1, 2])
def test_standardised_likelihood_integrates_to_one(small_vae, make_real_likelihood, dim):
    """In the units of the data: at most 1e-9. Caught: 0.001 nats too much in ``affine``."""
    model = small_vae(data_shape=(dim,), likelihood=make_real_likelihood(), standardize=True)
    model.eval().initialize(torch.randn(50, dim) * torch.tensor([0.03, 40.0])[:dim] + 5)
    p = model.likelihood(torch.randn(2, 2))
    assert (expectation(p, model.likelihood_head.support) - 1).abs().max() <= 1e-9


def test_bernoulli_of_images_sums_to_one():
    """Over all 16 states: at most 1e-12. Caught: images summed over one axis only."""
    import vi

    head = vi.Bernoulli()
    head.set_event_shape((1, 2, 2))
    p = head(_params(head, 3))
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    total = p.log_prob(states.reshape(16, 1, 1, 2, 2)).exp().sum(0)
    assert (total - 1).abs().max() <= 1e-12


@torch.no_grad()
def test_posterior_moments(make_posterior):
    """100 000 draws, seed 0, 18 numbers: fails by chance once in 900. Caught: 2 % too wide."""
    head = make_posterior(3)
    check_moments(head(_params(head, 3)))


@torch.no_grad()
def test_prior_moments(make_prior):
    """100 000 draws, seed 0, 6 numbers: fails by chance once in 2 700. Caught: 2 % too wide."""
    check_moments(distribution_of(make_prior(3)))


@torch.no_grad()
def test_likelihood_moments(make_likelihood):
    """100 000 draws, seed 0, 24 numbers: fails by chance once in 670. Caught: 2 % too wide."""
    head = make_likelihood()
    head.set_event_shape((4,))
    check_moments(head(_params(head, 3)))


def test_posterior_gradient_goes_through_its_draws(make_posterior):
    """d E_q[f(z)] / d params by ``rsample`` agrees with the integral: max |t| <= 4.75.

    40 replicates of 2 000 draws, seed 0, a curved f that ties the dimensions together; Student t
    with 39 degrees of freedom, some ten coordinates: fails by chance once in 3 000 per posterior.
    A posterior with ``unbiased = False`` must fail it, so that the attribute stays true. Caught: a
    pathwise gradient of a mixture that goes through the component alone.
    """
    head = make_posterior(2)
    params = _params(head, 1)[0]
    if not head(params).has_rsample:
        pytest.skip("has no pathwise gradient, and says so")
    check_gradient_of_draws(head, params)


def test_a_draw_reaches_every_parameter(make_posterior):
    """Every output of the network moves z or its density. Caught: a detached scale."""
    head = make_posterior(3)
    check_every_parameter_counts(head, _params(head, 5))


def test_scales_stay_above_their_floor():
    """A network output of -1000 gives the floor instead of 0. Caught: no floor."""
    import vi

    head = vi.Gaussian(floor=0.01)
    head.set_event_shape((1,))
    assert head(torch.tensor([0.0, -1000.0])).stddev.item() == pytest.approx(0.01, rel=1e-12)
    shared = vi.SharedScaleGaussian(scale=0.3)
    shared.set_event_shape((1,))
    assert shared(torch.zeros(1)).stddev.item() == pytest.approx(0.3, rel=1e-12)
    with torch.no_grad():
        shared.scale.raw.fill_(-1000.0)
    assert shared(torch.zeros(1)).stddev.item() == pytest.approx(1e-3, rel=1e-12)


def test_parameters_mean_what_the_docstrings_say():
    """Log-densities equal closed forms at given parameters.

    Caught: sigma as variance; logits as p.
    """
    import vi

    q = vi.DiagonalGaussian(2)(torch.tensor([1.0, 2.0, 0.0, math.log(3.0)]))
    assert q.mean.tolist() == [1.0, 2.0]
    assert q.stddev.tolist() == pytest.approx([1.0, 3.0])
    bits = vi.Bernoulli()
    bits.set_event_shape((2,))
    assert bits(torch.tensor([0.0, math.log(3.0)])).mean.tolist() == pytest.approx([0.5, 0.75])

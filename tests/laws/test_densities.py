"""Every density integrates to 1, and samples have its moments: N18."""

import itertools
import math

import pytest
import torch
from torch.distributions import Distribution

from tests.oracles import standard_error

DRAWS = 100_000


def _integral(p: Distribution, reach: float = 14.0, num: int = 601) -> torch.Tensor:
    """int p(x) dx over mean +- reach sd in one or two dimensions, trapezoid rule, (*batch)."""
    (dim,) = p.event_shape
    steps = torch.cartesian_prod(*[torch.linspace(-reach, reach, num)] * dim).reshape(-1, 1, dim)
    x = p.mean + p.stddev * steps
    cell = (p.stddev * 2 * reach / (num - 1)).prod(-1)
    return p.log_prob(x).exp().sum(0) * cell


@pytest.mark.parametrize("dim", [1, 2])
def test_posterior_integrates_to_one(make_posterior, dim):
    """At most 1e-9. Caught: a log-density 0.001 nats too high."""
    head = make_posterior(dim)
    assert (_integral(head(torch.randn(3, *head.out_shape))) - 1).abs().max() <= 1e-9


@pytest.mark.parametrize("dim", [1, 2])
def test_prior_integrates_to_one(make_prior, dim):
    """At most 1e-9. Caught: a log-density 0.001 nats too high."""
    assert (_integral(make_prior(dim)()) - 1).abs().max() <= 1e-9


@pytest.mark.parametrize("dim", [1, 2])
def test_continuous_likelihood_integrates_to_one(make_continuous_likelihood, dim):
    """At most 1e-9. Caught: a log-density 0.001 nats too high."""
    head = make_continuous_likelihood()
    head.set_event_shape((dim,))
    assert (_integral(head(torch.randn(3, *head.out_shape))) - 1).abs().max() <= 1e-9


@pytest.mark.parametrize("dim", [1, 2])
def test_standardised_likelihood_integrates_to_one(small_vae, make_continuous_likelihood, dim):
    """Carried back to the units of the data: at most 1e-9. Caught: 0.001 nats in ``affine``."""
    model = small_vae(data_shape=(dim,), likelihood=make_continuous_likelihood(), standardize=True)
    model.initialize(torch.randn(50, dim) * torch.tensor([0.03, 40.0])[:dim] + 5)
    assert (_integral(model.likelihood(torch.randn(3, 2))) - 1).abs().max() <= 1e-9


@pytest.mark.parametrize("event_shape", [(4,), (1, 2, 2)])
def test_bernoulli_sums_to_one(event_shape):
    """Over all 16 states: at most 1e-12. Caught: images summed over one axis only."""
    import vi

    head = vi.Bernoulli()
    head.set_event_shape(event_shape)
    p = head(torch.randn(3, *head.out_shape))
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
    total = p.log_prob(states.reshape(16, 1, *event_shape)).exp().sum(0)
    assert (total - 1).abs().max() <= 1e-12


def _check_moments(p: Distribution) -> None:
    """Mean and variance of the samples within 4 s.e.; each number fails once in 16 000."""
    samples = p.sample((DRAWS,))
    assert samples.shape == (DRAWS, *p.batch_shape, *p.event_shape)
    deviation = samples - p.mean
    assert (deviation.mean(0).abs() <= 4 * standard_error(deviation)).all()
    squares = deviation.square() - p.variance
    assert (squares.mean(0).abs() <= 4 * standard_error(squares) + 1e-12).all()


def test_posterior_moments(make_posterior):
    """100 000 draws, seed 0, 18 numbers: fails by chance once in 900. Caught: 2 % too wide."""
    head = make_posterior(3)
    _check_moments(head(torch.randn(3, *head.out_shape)))


def test_prior_moments(make_prior):
    """100 000 draws, seed 0, 6 numbers: fails by chance once in 2 700. Caught: 2 % too wide."""
    _check_moments(make_prior(3)())


def test_likelihood_moments(make_likelihood):
    """100 000 draws, seed 0, 24 numbers: fails by chance once in 670. Caught: 2 % too wide."""
    head = make_likelihood()
    head.set_event_shape((4,))
    _check_moments(head(torch.randn(3, *head.out_shape)))


def test_scales_stay_above_their_floor():
    """A network's output of -1000 gives the floor, not zero. Caught: no floor."""
    import vi

    head = vi.Gaussian(floor=0.01)
    head.set_event_shape((1,))
    assert head(torch.tensor([0.0, -1000.0])).stddev.item() == pytest.approx(0.01, rel=1e-12)
    shared = vi.SharedScaleGaussian(scale=0.3)
    shared.set_event_shape((1,))
    assert shared(torch.zeros(1)).stddev.item() == pytest.approx(0.3, rel=1e-12)
    with torch.no_grad():
        shared.raw_scale.fill_(-1000.0)
    assert shared(torch.zeros(1)).stddev.item() == pytest.approx(1e-3, rel=1e-12)


def test_parameters_mean_what_the_docstrings_say():
    """Closed forms at given parameters. Caught: sigma taken for a variance, logits for p."""
    import vi

    q = vi.DiagonalGaussian(2)(torch.tensor([1.0, 2.0, 0.0, math.log(3.0)]))
    assert q.mean.tolist() == [1.0, 2.0]
    assert q.stddev.tolist() == pytest.approx([1.0, 3.0])
    bits = vi.Bernoulli()
    bits.set_event_shape((2,))
    assert bits(torch.tensor([0.0, math.log(3.0)])).mean.tolist() == pytest.approx([0.5, 0.75])

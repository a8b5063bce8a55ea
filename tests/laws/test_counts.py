"""Counts (Poisson, negative binomial, zero-inflated): laws beyond those of every likelihood."""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Independent

import vi
from tests.support.oracles import standard_error
from vi.data.base import LoadedData, Values
from vi.distributions.counts import GammaPoisson, LogRatePoisson, ZeroInflated, exposed
from vi.distributions.observed import Observed
from vi.errors import ConfigurationError, DataError
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings

COUNTS = torch.tensor([0.0, 1.0, 2.0, 7.0, 40.0, 1e3, 1e6])
HEADS = [vi.Poisson, vi.NegativeBinomial, vi.ZeroInflatedNegativeBinomial]


def _head(make, *event_shape: int):
    head = make()
    head.set_event_shape(event_shape)
    return head


def _families(like: torch.Tensor):
    """Return one distribution of each family with a mean near 3, in the precision of ``like``."""
    dispersion = torch.full_like(like, 0.5)
    nb = GammaPoisson(like, dispersion)
    return [LogRatePoisson(like), nb, ZeroInflated(nb, like - 1)]


@pytest.mark.parametrize("mean", [1e-3, 1.0, 30.0, 1e6])
def test_poisson_against_scipy(mean):
    """log p agrees with scipy at counts to 10^6: relative 1e-9. Caught: (x + 1)! for x!."""
    log_p = LogRatePoisson(torch.tensor(mean).log()).log_prob(COUNTS)
    exact = torch.from_numpy(stats.poisson(mean).logpmf(COUNTS))
    assert torch.allclose(log_p, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean", [1e-3, 3.0, 1e5])
@pytest.mark.parametrize("dispersion", [1e-4, 1e-2, 1.0, 1e3, 1e30])
def test_negative_binomial_against_its_recursion(mean, dispersion):
    """log p(0) = -r log(1 + a m), p(x + 1) / p(x) = (x + r) / (x + 1) a m / (1 + a m).

    The recursion needs no gamma function; x up to 10^6 and a up to 10^30: relative 1e-9. Caught:
    the dispersion and its inverse exchanged; (x + 1)! for x!.
    """
    r, x = 1 / dispersion, torch.arange(1_000_001.0)
    # (x + r) a m / ((x + 1) (1 + a m)), without overflow
    ratio = (x[:-1] * dispersion + 1) / (x[1:] * (1 / mean + dispersion))
    first = torch.tensor([-r * math.log1p(dispersion * mean)])
    exact = torch.cat([first, ratio.log()]).cumsum(0)
    p = GammaPoisson(torch.tensor(mean).log(), torch.tensor(dispersion))
    assert torch.allclose(p.log_prob(x), exact, rtol=1e-9, atol=1e-8)


def test_little_dispersion_is_poisson():
    """At a = 1e-4 and mean 3, log p is within 1e-3 nats of Poisson, and moments within 1e-3."""
    log_mean, x = torch.tensor(3.0).log(), torch.arange(12.0)
    nb, poisson = GammaPoisson(log_mean, torch.tensor(1e-4)), LogRatePoisson(log_mean)
    assert (nb.log_prob(x) - poisson.log_prob(x)).abs().max() <= 3e-3
    assert abs(nb.variance / poisson.variance - 1) <= 1e-3


def test_single_precision_follows_double():
    """float32 agrees with float64 entry by entry at the same parameters: 1e-6 at counts of 10^6.

    Caught: sums of x log x in single precision, one nat off at 10^6.
    """
    log_mean = torch.tensor([0.0, 5.0, 13.8], dtype=torch.float32)[:, None]
    for one, other in zip(_families(log_mean), _families(log_mean.double()), strict=True):
        single, double = one.log_prob(COUNTS.float()), other.log_prob(COUNTS)
        assert single.dtype == torch.float32
        assert ((single - double) / double.abs().clamp_min(1)).abs().max() <= 1e-6


@pytest.mark.parametrize("make", HEADS)
@pytest.mark.parametrize("size", [-100.0, 0.0, 100.0])
def test_extremes_are_finite(make, size):
    """log p is finite for outputs of +-100 and counts of 10^6.

    Also for empty rows and for dispersions from 1e-4 to 1e30.
    """
    head = _head(make, len(COUNTS))
    for raw in (-1e3, 1e3, 1e30) if list(head.parameters()) else (0.0,):
        with torch.no_grad():
            [p.fill_(raw) for p in head.parameters()]
        params = torch.full((2, *head.out_shape), size).requires_grad_()
        log_p = head(params).log_prob(torch.stack([COUNTS, 0 * COUNTS]))
        gradients = torch.autograd.grad(log_p.sum(), [params, *head.parameters()])
        assert all(t.isfinite().all() for t in (log_p, *gradients))


def test_moments_of_draws():
    """Mean and variance of 100 000 counts of dispersion 1/2, seed 0, within 4 s.e.

    Six numbers: fails by chance once in 2 700. Caught: a Gamma rate of mean m / a, which the
    generic law cannot see at a = 1.
    """
    for p in _families(torch.tensor(3.0).log()):
        deviation = p.sample((100_000,)) - p.mean
        for zero_mean in (deviation, deviation.square() - p.variance):
            assert zero_mean.mean().abs() <= 4 * standard_error(zero_mean)


def test_zero_inflation_at_its_ends():
    """logit pi = -100 gives the counts themselves, 100 gives only zeros: at most 1e-12.

    Caught: pi and 1 - pi exchanged.
    """
    nb, x = GammaPoisson(torch.tensor(1.0), torch.tensor(0.5)), COUNTS
    never, always = (ZeroInflated(nb, torch.tensor(g)) for g in (-100.0, 100.0))
    assert torch.allclose(never.log_prob(x), nb.log_prob(x), rtol=1e-12, atol=1e-12)
    assert always.log_prob(x[:1]).abs().max() <= 1e-12
    assert torch.allclose(always.log_prob(x[1:]), nb.log_prob(x[1:]) - 100, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (3, 1)], ids=str)
@pytest.mark.parametrize("event_shape", [(), (3,), (2, 3)], ids=str)
def test_exposure_multiplies_the_mean_of_its_datum(event_shape, shape):
    """The exposure of datum b multiplies the means of datum b, exactly.

    Data, entries and samples are equally many, so that a wrong axis would broadcast. Caught: an
    exposure of entries in place of data; zero-inflated counts without theirs.
    """
    exposure = torch.tensor([0.5, 1.0, 20.0]).reshape(shape)
    rates = exposure.reshape(3, *[1] * len(event_shape))
    for base in _families(torch.randn(3, 3, *event_shape)):
        p = exposed(Independent(base, len(event_shape)), exposure)
        assert (p.batch_shape, p.event_shape) == ((3, 3), event_shape)
        assert torch.allclose(p.mean, rates * base.mean, rtol=1e-12)
        extra = base.variance - base.mean  # grows with the square of the mean
        assert torch.allclose(p.variance, rates * base.mean + rates**2 * extra, rtol=1e-10)
        x = p.sample()
        by_hand = type(base).exposed(base, rates.log()).log_prob(x)
        assert torch.allclose(
            p.log_prob(x), by_hand.flatten(2).sum(-1) if event_shape else by_hand
        )


@pytest.mark.parametrize("make", HEADS)
def test_the_encoder_reads_the_logarithm(small_vae, make):
    """The encoder reads asinh x, so that a count of 10^6 leaves q finite; a missing entry reads 0.

    Caught: raw counts, for which the KL is infinite.
    """
    model, x = small_vae(likelihood=make()), torch.tensor([[0.0, 1.0, 10.0, 1e3, 1e6, 0.0]])
    gaussian = small_vae()
    gaussian.inference.encoder = model.inference.encoder
    assert torch.equal(model.posterior(x).mean, gaussian.posterior(x.asinh()).mean)
    assert vi.ELBO()(model, x).terms["kl"] < 1e4
    observed = torch.tensor([[True, True, True, True, False, True]])
    some = model.posterior(x, observed=observed).mean
    assert torch.equal(some, model.posterior(x.where(observed, torch.tensor(0.0))).mean)


def test_an_empty_cell_has_exposure_zero():
    """An exposure of 0 makes all counts 0 with certainty, and no number is infinite.

    Caught: log 0 times a count of 0.
    """
    for base in _families(torch.zeros(2, 3)):
        base_log_p = exposed(Independent(base, 1), torch.tensor([0.0, 1.0])).log_prob(
            torch.zeros(2, 3)
        )
        assert abs(base_log_p[0]) <= 1e-12
        assert base_log_p[1] < -0.1


def test_exposure_reaches_the_model(small_vae):
    """``given["exposure"]`` affects counts and nothing else, in bounds and in samples."""
    exposure, z = torch.tensor([0.5, 2.0, 8.0, 1.0]), torch.randn(5, 4, 2)
    for make in HEADS:
        model = small_vae(likelihood=make())
        mean = model.likelihood(z, exposure=exposure).mean
        assert torch.allclose(mean, exposure[:, None] * model.likelihood(z).mean)
        x = model.sample(4, exposure=exposure)
        one = vi.IWAE(3)(model, x, exposure=exposure)
        assert one.value.shape == (4,)
        assert model.reconstruct(x, exposure=exposure).shape == (4, 6)
    gaussian = small_vae()
    assert torch.equal(gaussian.likelihood(z, exposure=exposure).mean, gaussian.likelihood(z).mean)


@pytest.mark.parametrize("make", HEADS)
def test_missing_entries_leave_the_likelihood(make):
    """With NaN or any number in a missing entry, log p is the sum over the others: 1e-12."""
    head = _head(make, 4)
    p = head(torch.randn(3, *head.out_shape))
    observed, x = torch.rand(3, 4) < 0.6, p.sample()
    entries = p.base_dist.log_prob(x)
    log_p = Observed(p, observed).log_prob(x.where(observed, torch.tensor(math.nan)))
    assert (log_p - (entries * observed).sum(-1)).abs().max() <= 1e-12


@pytest.mark.parametrize("make", HEADS[1:])
def test_every_entry_learns_its_dispersion(make):
    """Dispersions of 0.1 and 2 in two entries are learned from 10 000 counts within 10 %.

    Caught: one dispersion for all entries.
    """
    true = torch.tensor([0.1, 2.0])
    x = GammaPoisson(torch.full((10_000, 2), 5.0).log(), true).sample()
    head = _head(make, 2)
    params = torch.full((1, *head.out_shape), 5.0).log()
    params[:, 2:] = -20.0  # no inflation
    optimizer = torch.optim.Adam(head.parameters(), lr=0.15)
    for _ in range(80):
        optimizer.zero_grad()
        (-head(params).log_prob(x).mean()).backward()
        optimizer.step()
    assert (head.dispersion() / true - 1).abs().max() <= 0.1


@pytest.mark.parametrize("make", HEADS)
@pytest.mark.parametrize(
    ("value", "numbers"), [(0.5, r"\[0.00, 2.50\]"), (-3.0, r"\[-1.00, 2.00\]")]
)
def test_refuses_what_is_no_count(small_vae, make, value, numbers):
    """Fractions and negative numbers are an error that states the range of the data."""
    x = torch.randint(0, 3, (9, 6)).to(torch.get_default_dtype())
    x[0, 0], x[1, 0], x[4, 2] = 2.0, 0.0, 2.0 + value
    split = Values(x)
    with pytest.raises(DataError, match=f"needs counts 0, 1, 2, ..; got values in {numbers}"):
        check_data(
            LoadedData(split, split, split, (6,)), small_vae(likelihood=make()), TrainerSettings()
        )


@pytest.mark.parametrize("make", HEADS[1:])
def test_refuses_numbers_that_cannot_be_right(make):
    with pytest.raises(ConfigurationError, match="dispersion must be greater than 0.1, got 0.05"):
        make(dispersion=0.05, floor=0.1)
    with pytest.raises(ConfigurationError, match="floor must be greater than 0"):
        make(floor=0.0)

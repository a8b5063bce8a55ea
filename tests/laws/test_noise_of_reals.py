"""Laplace, Student t and the optimal Gaussian scale: laws beyond those of every likelihood."""

import math

import pytest
import torch
from scipy import stats

import vi
from vi.distributions.observed import Observed
from vi.errors import ConfigurationError


def _head(head, *event_shape: int):
    head.set_event_shape(event_shape)
    return head


def _t(df: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor):
    return type(_head(vi.StudentT(), 1)(torch.zeros(2)).base_dist)(df, loc, scale)


def test_laplace_against_scipy():
    """Both classes equal scipy at given outputs: at most 1e-12. Caught: sd taken for b."""
    x, loc, raw = torch.randn(3, 5, 4)
    own = _head(vi.Laplace(floor=0.1), 4)(torch.cat([loc, raw], -1))
    shared = _head(vi.SharedScaleLaplace(scale=0.7), 4)(loc)
    scale = 0.1 + torch.nn.functional.softplus(raw)
    for p, b in ((own, scale), (shared, torch.tensor(0.7))):
        exact = torch.from_numpy(stats.laplace(loc, b).logpdf(x)).sum(-1)
        assert (p.log_prob(x) - exact).abs().max() <= 1e-12
        assert torch.allclose(p.stddev, (math.sqrt(2) * b).expand_as(loc), rtol=1e-12)


@pytest.mark.parametrize("df", [2.01, 3.0, 99.0, 101.0, 1e4, 1e30])
def test_student_t_against_scipy(df):
    """log p equals scipy for any df, also so large that it is a Gaussian: at most 1e-10.

    Caught: torch's difference of lgamma, off by 1e14 nats at df = 1e30.
    """
    loc, scale, z = torch.randn(50), torch.rand(50) + 0.1, 5 * torch.randn(50)
    p = _t(torch.tensor(df), loc, scale)
    exact = torch.from_numpy(stats.t(df, loc, scale).logpdf(loc + scale * z))
    assert (p.log_prob(loc + scale * z) - exact).abs().max() <= 1e-10
    assert torch.allclose(p.stddev, scale * math.sqrt(df / (df - 2)), rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(scale):
    """Log-densities and gradients of Laplace and Student t are finite."""
    leaves = [torch.zeros(3).requires_grad_(), torch.full((3,), scale).requires_grad_()]
    laplace = torch.distributions.Laplace(*leaves, validate_args=False)
    for p in (_t(torch.tensor(5.0), *leaves), laplace):
        for x in (torch.zeros(3), torch.ones(3)):
            log_p = p.log_prob(x)
            assert log_p.isfinite().all()
            assert all(g.isfinite().all() for g in torch.autograd.grad(log_p.sum(), leaves))


def test_heads_in_single_precision():
    """float32 agrees with float64: relative 1e-5."""
    for make in (vi.StudentT, vi.Laplace, vi.SharedScaleLaplace):
        head = _head(make(), 6)
        params, x = torch.randn(20, *head.out_shape).float(), torch.randn(20, 6).float()
        double = head.double()(params.double()).log_prob(x.double())
        single = head.float()(params).log_prob(x)
        assert ((single - double) / double.abs().clamp_min(1)).abs().max() <= 1e-5


def test_normaliser_of_student_t_in_single_precision():
    """At the mode, df up to 99: at most 5e-7. Caught: lgamma in single precision."""
    df = torch.tensor([2.5, 10.0, 50.0, 99.0, 1e6], dtype=torch.float32)
    zero, one = torch.zeros_like(df), torch.ones_like(df)
    single = _t(df, zero, one).log_prob(zero)
    double = _t(df.double(), zero.double(), one.double()).log_prob(zero.double())
    assert (single - double).abs().max() <= 5e-7


def test_outliers_cost_less_under_heavy_tails():
    """100 sd cost a logarithm instead of a square, and df decreases towards heavy-tailed data."""
    head = _head(vi.StudentT(df=10.0), 1)
    x = torch.distributions.StudentT(3.0).sample((5000, 1))
    optimizer = torch.optim.Adam([*head.parameters()], lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        (-head(torch.tensor([0.0, math.log(math.e - 1)])).log_prob(x).mean()).backward()
        optimizer.step()
    assert 2.5 < head.df().item() < 3.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vi.StudentT(df=2.0), "df must be greater than 2.01, got 2"),
        (lambda: vi.StudentT(floor=0.0), "floor must be greater than 0"),
        (lambda: vi.Laplace(floor=-1.0), "floor must be greater than 0"),
        (lambda: vi.SharedScaleLaplace(scale=1e-4), "scale must be greater than 0.001"),
        (lambda: vi.OptimalScaleGaussian(floor=0.0), "floor must be greater than 0"),
        (lambda: vi.OptimalScaleGaussian(momentum=1.5), r"momentum must be in \(0, 1\], got 1.5"),
    ],
)
def test_refuses_numbers_that_cannot_be_right(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def _seasoned(dim: int) -> vi.OptimalScaleGaussian:
    """Return a likelihood that has seen a batch of errors of size 5."""
    head = _head(vi.OptimalScaleGaussian(), dim)
    head(torch.zeros(9, dim)).log_prob(5 * torch.randn(9, dim))
    return head


def test_optimal_scale_is_the_best_of_all():
    """The mean log p of a batch is -D/2 (1 + log 2 pi mse), and no other s does better: 1e-12."""
    head = _seasoned(4)
    loc, x = torch.randn(5, 20, 4), torch.randn(20, 4)
    mse = (x - loc).square().mean()
    best = head(loc).log_prob(x).mean()
    assert abs(best + 2 * (1 + (2 * math.pi * mse).log())) <= 1e-12
    for factor in (0.9, 0.99, 1.01, 1.1):
        other = _head(vi.FixedScaleGaussian(scale=factor * mse.sqrt().item()), 4)
        assert other(loc).log_prob(x).mean() < best


def test_gradient_is_that_of_the_log_of_the_error():
    """d/d mu of -B D/2 log(mean squared error): at most 1e-12. Caught: the s of the buffer."""
    head, x = _seasoned(4), torch.randn(20, 4)
    loc = torch.randn(20, 4, requires_grad=True)
    (surrogate,) = torch.autograd.grad(head(loc).log_prob(x).sum(), loc)
    (exact,) = torch.autograd.grad(-40 * (x - loc).square().mean().log(), loc)
    assert (surrogate - exact).abs().max() <= 1e-12


def test_evaluation_does_not_see_the_batch():
    """s is the running mean, first of all batches, then exponential; scoring does not change it.

    Caught: an evaluation that updates; a first batch that is averaged with the start of 1.
    """
    head = _head(vi.OptimalScaleGaussian(momentum=0.25), 3)
    running = 0.0
    for step in range(1, 9):
        x = step * torch.randn(10, 3)
        head(torch.zeros(10, 3)).log_prob(x)
        running += max(1 / step, 0.25) * (x.square().mean() - running)
    head.eval()
    loc, x = torch.randn(10, 3), torch.randn(10, 3)
    whole = head(loc).log_prob(x)
    assert torch.allclose(head(loc).stddev, running.sqrt().expand_as(loc), rtol=1e-12)
    assert torch.equal(head(loc[:1]).log_prob(x[:1]), whole[:1])
    exact = _head(vi.FixedScaleGaussian(running.sqrt().item()), 3)(loc).log_prob(x)
    assert torch.allclose(whole, exact, rtol=1e-12)


def test_a_perfect_fit_stays_at_the_floor():
    """Errors of 0 give s = floor. Caught: no floor, hence minus infinity."""
    head = _head(vi.OptimalScaleGaussian(floor=0.1), 2)
    log_p = head(torch.zeros(5, 2)).log_prob(torch.zeros(5, 2))
    assert torch.allclose(log_p, torch.tensor(-2 * math.log(0.1) - math.log(2 * math.pi)))


def test_missing_entries_do_not_lower_the_scale():
    """s is the root mean squared error of the observed entries: at most 1e-12.

    Caught: missing entries counted as errors of 0.
    """
    head = _head(vi.OptimalScaleGaussian(), 4)
    loc, x, observed = torch.randn(30, 4), torch.randn(30, 4), torch.rand(30, 4) < 0.5
    seen = x.where(observed, torch.tensor(math.nan))
    log_p = Observed(head(loc), observed).log_prob(seen)
    mse = (x - loc)[observed].square().mean()
    assert abs(head.noise.variance - mse) <= 1e-12
    assert abs(log_p.sum() + observed.sum() / 2 * (1 + (2 * math.pi * mse).log())) <= 1e-10


def test_the_scale_of_standardised_data_is_in_their_units(small_vae, data):
    """One s in units of each entry's sd. Caught: errors in the units of the data."""
    units = torch.tensor([1e-3, 0.1, 1.0, 7.0, 100.0, 1e4])
    model = small_vae(likelihood=vi.OptimalScaleGaussian(), standardize=True)
    x = data * units
    model.initialize(x)
    p = model.likelihood(torch.randn(50, 2))
    p.log_prob(x)
    errors = (x - p.mean) / x.std(0)
    noise = model.likelihood_head.noise
    assert noise.variance.item() == pytest.approx(errors.square().mean().item(), rel=1e-10)
    assert torch.allclose(p.stddev, (noise.scale * x.std(0)).expand(50, 6), rtol=1e-10)


def test_learned_scale_of_the_noise(small_vae):
    """A VAE trained on noise of sd 0.3 around a line learns it within 10 %."""
    line = torch.randn(200, 1) * torch.linspace(-1, 1, 6)
    x = line + 0.3 * torch.randn(200, 6)
    model = small_vae(likelihood=vi.OptimalScaleGaussian(momentum=0.1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        (-vi.ELBO()(model, x).surrogate.mean()).backward()
        optimizer.step()
    assert model.likelihood_head.noise.scale.item() == pytest.approx(0.3, rel=0.1)

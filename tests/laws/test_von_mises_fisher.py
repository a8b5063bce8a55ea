"""The von Mises-Fisher posterior and the uniform prior: laws beyond those of all."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor
from torch.autograd import gradcheck

import vi
from tests.support.oracles import standard_error
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.distributions.polar_angle import PolarAngle
from vi.distributions.von_mises_fisher import (
    VonMisesFisherDistribution,
    log_area,
    unit_vectors,
)

DIMS = [2, 3, 4, 5, 10, 50, 200]
KAPPAS = torch.logspace(-3, 6, 37, dtype=torch.float64)


def _log_bessel(order: float, kappa: np.ndarray) -> np.ndarray:
    """Return log of I_order(kappa) (2 / kappa)^order Gamma(order + 1) exp(-kappa).

    By scipy, or by a sum.
    """
    scaled = special.ive(order, np.maximum(kappa, 1.0))
    large = np.log(scaled) + order * np.log(2 / kappa) + math.lgamma(order + 1)
    j = np.arange(1, 80)[:, None]
    series = np.cumprod(np.minimum(kappa, 10.0) ** 2 / 4 / (j * (order + j)), 0).sum(0)
    return np.where(kappa > 10, large, np.log1p(series) - kappa)


@pytest.mark.parametrize("dim", DIMS)
def test_normaliser_and_mean_against_bessel_functions(dim):
    """log J and E[1 - cos] for kappa from 1e-3 to 1e6, against scipy: at most 1e-12."""
    angle, order, kappa = PolarAngle(KAPPAS, dim), dim / 2 - 1, KAPPAS.numpy()
    base = math.lgamma(order + 0.5) - math.lgamma(order + 1) + math.log(math.pi) / 2
    log_j = torch.from_numpy(base + _log_bessel(order, kappa))
    log_ratio = _log_bessel(order + 1, kappa) - _log_bessel(order, kappa)
    versine = torch.from_numpy(1 - kappa / dim * np.exp(log_ratio))
    assert ((angle.log_normalizer - log_j) / log_j.abs().clamp_min(1)).abs().max() <= 1e-12
    assert (angle.mean_versine - versine).abs().max() <= 1e-12


@pytest.mark.parametrize("dim", DIMS)
def test_moments_are_derivatives_of_the_normaliser(dim):
    """d log J = -E[1 - cos], d E[1 - cos] = -Var[cos], d KL = kappa Var[cos], relative 1e-9.

    And E[sin^2] = (d - 1) A / kappa. Caught: the other sign of kappa A in the KL.
    """
    kappa = KAPPAS.clone().requires_grad_()
    angle = PolarAngle(kappa, dim)
    q = VonMisesFisherDistribution(torch.eye(dim)[0].expand(37, dim), kappa)
    derivative = lambda y: torch.autograd.grad(y.sum(), kappa, retain_graph=True)[0]
    kl = closed_form_kl(q, vi.UniformSphere(dim)())
    variance = angle.variance_cosine
    for one, other in [
        (derivative(angle.log_normalizer), -angle.mean_versine),
        (derivative(angle.mean_versine), -variance),
        (derivative(kl), kappa * variance),
        (angle.mean_square_sine, (dim - 1) * (1 - angle.mean_versine) / kappa),
    ]:
        assert ((one - other) / other).abs().max() <= 1e-9


def _masses(num: int = 200) -> Tensor:
    """Return probabilities from one tail to the other."""
    tail = torch.logspace(-12, -1, num // 2)
    return torch.cat([tail, torch.linspace(0.1, 0.9, num), 1 - tail.flip(0)])


@pytest.mark.parametrize("kappa", [1e-3, 0.5, 10.0, 1e3, 1e6])
def test_quantiles_on_the_sphere(kappa):
    """For d = 3 quantiles and d theta / d kappa have closed forms: both tails, relative 1e-9."""
    mass = _masses()
    leaves = [torch.tensor(kappa).requires_grad_() for _ in range(2)]
    theta = PolarAngle(leaves[0], 3).quantile(mass)
    versine = -torch.log1p(mass * torch.expm1(-2 * leaves[1])) / leaves[1]
    exact = 2 * (versine / 2).sqrt().asin()
    body = (mass > 1e-9) & (mass < 1 - 1e-4)  # where the closed form itself is good to 1e-9
    assert (theta / exact - 1)[body].abs().max() <= 1e-9
    for i in range(0, int(body.sum()), 20):
        ours, true = (
            torch.autograd.grad(t[body][i], leaf, retain_graph=True)[0]
            for t, leaf in zip((theta, exact), leaves, strict=True)
        )
        assert ours.item() == pytest.approx(true.item(), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("dim", [2, 3, 4, 10, 50, 200])
def test_quantiles_of_the_uniform_distribution(dim):
    """kappa = 0: (1 - cos theta) / 2 is Beta((d - 1) / 2, (d - 1) / 2); relative to 1e-8."""
    mass = _masses()
    mass = mass[mass < 0.5]
    theta = PolarAngle(torch.tensor(0.0), dim).quantile(mass)
    half = stats.beta.ppf(mass.numpy(), (dim - 1) / 2, (dim - 1) / 2)
    exact = 2 * torch.from_numpy(half).sqrt().asin()
    assert (theta / exact - 1).abs().max() <= 1e-8
    mirrored = math.pi - PolarAngle(torch.tensor(0.0), dim).quantile(1 - mass)
    body = mass > 1e-5  # 1 - mass has lost what comes before
    assert (mirrored / exact - 1)[body].abs().max() <= 1e-8


@pytest.mark.parametrize("dim", [2, 3, 10, 200])
@pytest.mark.parametrize("kappa", [0.01, 3.0, 40.0, 1e5])
def test_quantiles_against_adaptive_quadrature(dim, kappa):
    """The mass below them, by scipy's adaptive rule: at most 1e-9."""
    angle, mass = PolarAngle(torch.tensor(kappa), dim), torch.tensor([1e-6, 0.01, 0.3, 0.6, 0.98])
    exponent = lambda t: (dim - 2) * math.log(math.sin(t)) - 2 * kappa * math.sin(t / 2) ** 2
    density = lambda t: math.exp(exponent(t) - angle.log_normalizer.item())
    theta = angle.quantile(mass)
    ends = [float(angle.edges[0]), *theta.tolist()]
    parts = [integrate.quad(density, a, b, epsabs=1e-13)[0] for a, b in zip(ends, ends[1:])]  # noqa: B905, RUF007
    assert np.abs(np.cumsum(parts) - mass.numpy()).max() <= 1e-9


@pytest.mark.parametrize("dim", [2, 3, 10, 50])
def test_gradcheck_of_quantiles(dim):
    """The implicit gradient agrees with finite differences, in both tails and between."""
    mass = torch.tensor([1e-6, 0.01, 0.4999, 0.5001, 0.7, 0.99, 1 - 1e-6])[:, None]
    kappa = torch.tensor([0.01, 1.0, 20.0, 500.0]).requires_grad_()
    assert gradcheck(lambda k: PolarAngle(k, dim).quantile(mass.expand(-1, 4)), (kappa,))


def test_no_uniform_number_is_too_small():
    """0 and the last number before 1, in both precisions: theta inside, with a finite gradient."""
    for dtype in (torch.float32, torch.float64):
        mass = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)[:, None]
        for dim in DIMS:
            kappa = KAPPAS.to(dtype).requires_grad_()
            theta = PolarAngle(kappa, dim).quantile(mass.expand(-1, len(kappa)))
            (gradient,) = torch.autograd.grad(theta.sum(), kappa)
            assert theta.isfinite().all()
            assert gradient.isfinite().all()
            assert (theta[0] < theta[1]).all()


@pytest.mark.parametrize("dim", [4, 10])
def test_why_the_gradient_is_implicit(dim):
    """d E[cos theta] / d kappa = Var[cos]: ours within 4 s.e.; accepted proposals are biased.

    1 000 means of 100 draws, seed 0; ours fails by chance once in 16 000, and theirs is 20 s.e.
    away. Caught: the sign of one tail.
    """
    exact = PolarAngle(torch.tensor(4.0), dim).variance_cosine
    t = lambda slopes: ((slopes.mean() - exact) / standard_error(slopes)).abs().item()
    kappa = torch.full((1000,), 4.0).requires_grad_()
    cosine = PolarAngle(kappa, dim).quantile(torch.rand(100, 1000)).cos()
    assert t(torch.autograd.grad(cosine.mean(0).sum(), kappa)[0]) <= 4
    many = torch.full((100_000,), 4.0).requires_grad_()
    assert t(_slopes_of_accepted_proposals(many, dim)) > 20


def _slopes_of_accepted_proposals(kappa: Tensor, dim: int) -> Tensor:
    """Return d cos theta / d kappa in the usual sampler, which ignores the rejections.

    Wood, 1994, https://doi.org/10.1080/03610919408813161
    """
    n = dim - 1
    b = (-2 * kappa + (4 * kappa.square() + n**2).sqrt()) / n
    beta = torch.distributions.Beta(n / 2, n / 2).sample(kappa.shape)
    cosine = (1 - (1 + b) * beta) / (1 - (1 - b) * beta)
    x = (1 - b) / (1 + b)
    log_ratio = kappa * (cosine - x) + n * ((1 - x * cosine) / (1 - x.square())).log()
    accepted = log_ratio >= torch.rand(kappa.shape).log()
    (slopes,) = torch.autograd.grad(cosine.sum(), kappa)
    assert (cosine[accepted].mean() - (1 - PolarAngle(kappa[0], dim).mean_versine)).abs() < 0.01
    return slopes[accepted]


@pytest.mark.parametrize("dim", [2, 3, 10])
@pytest.mark.parametrize("place", ["e_1", "minus e_1", "beside e_1", "anywhere"])
def test_gradcheck_of_a_draw(dim, place):
    """Gradients of z in direction and kappa agree with finite differences for the same noise.

    Caught: a detached mu in the reflection.
    """
    params = torch.randn(1, dim + 1)
    if place != "anywhere":
        params[:, :dim] = torch.eye(dim)[0] * (-1 if place == "minus e_1" else 1)
    if place == "beside e_1":
        params[:, 1] = 1e-9

    def sample(params: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(3)
        return vi.VonMisesFisher(dim)(params).rsample_and_log_prob((2,))

    assert gradcheck(sample, (params.requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("place", [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_mean_of_draws_and_its_gradient_everywhere(place):
    """E[z] = A mu and d E[z_i] / d mu_i = A, also at the poles and at the change of sign.

    1 000 means of 100 draws, seed 0, four numbers: fails by chance once in 4 000.
    """
    params = torch.tensor([*place, 1.5]).expand(1000, -1).clone().requires_grad_()
    q = vi.VonMisesFisher(3)(params)
    z = q.rsample((100,)).mean(0)
    assert ((z - q.mean).mean(0).abs() <= 4 * standard_error(z)).all()
    across = 1 if place[0] else 0  # where mu can turn to
    (slope,) = torch.autograd.grad(z[:, across].sum(), params)
    slope = slope[:, across]
    assert (slope.mean() - q.mean.norm(dim=-1)[0]).abs() <= 4 * standard_error(slope)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [2, 3, 40])
def test_draws_lie_on_the_sphere(dim, dtype):
    """kappa from 0 to 1e6: |z| = 1 to 4 roundings, and the two log-densities agree.

    float32: to 1e-2 nats at kappa = 1e6, where one rounding of z is that much.
    """
    kappa = torch.tensor([0.0, 1e-3, 1.0, 1e3, 1e6], dtype=dtype)
    loc = torch.nn.functional.normalize(torch.randn(5, dim, dtype=dtype), dim=-1)
    q = VonMisesFisherDistribution(loc, kappa)
    z, log_q = q.rsample_and_log_prob((1000,))
    assert z.dtype == log_q.dtype == dtype
    eps = torch.finfo(dtype).eps
    assert (z.norm(dim=-1) - 1).abs().max() <= 4 * eps
    scale = 1 + kappa.sqrt() * dim
    assert ((q.log_prob(z) - log_q) / scale).abs().max() <= 20 * eps


@pytest.mark.parametrize("dim", DIMS)
def test_kl_to_the_uniform_prior_in_single_precision(dim):
    """float32 KL and its derivative for kappa from 0 to 1e6: 1e-5 relative; 0 at kappa = 0.

    It is never negative beyond that error.
    """
    values, slopes = [], []
    for dtype in (torch.float64, torch.float32):
        kappa = torch.cat([torch.zeros(1), KAPPAS]).to(dtype).requires_grad_()
        q = VonMisesFisherDistribution(torch.eye(dim, dtype=dtype)[0].expand(38, dim), kappa)
        values.append(closed_form_kl(q, vi.UniformSphere(dim).to(dtype)()).double())
        slopes.append(torch.autograd.grad(values[-1].sum(), kappa)[0].double())
    assert values[1].isfinite().all()
    assert ((values[1] - values[0]) / values[0].clamp_min(1)).abs().max() <= 1e-5
    assert torch.allclose(slopes[1], slopes[0], rtol=1e-5, atol=1e-6)
    assert values[0].min() >= -1e-13
    assert values[0][0].abs() <= 1e-13
    assert values[1].min() >= -1e-5


def test_entropy_against_draws():
    """-E[log q] within 4 s.e., 10 000 draws, seed 0, 7 numbers: fails by chance once in 2 000."""
    for dim in DIMS:
        q = vi.VonMisesFisher(dim)(7 * torch.randn(dim + 1).abs())
        _, log_q = q.rsample_and_log_prob((10_000,))
        assert (log_q.mean(0) + q.entropy()).abs() <= 4 * standard_error(log_q)


def test_kappa_zero_is_the_uniform_distribution():
    """kappa = 0 has the uniform density, moments and entropy: at most 1e-12."""
    for dim in DIMS:
        p = vi.UniformSphere(dim)()
        q = VonMisesFisherDistribution(torch.eye(dim)[0], torch.tensor(0.0))
        z = p.sample((20,))
        pairs = [
            (q.log_prob(z), p.log_prob(z)),
            (q.mean, p.mean),
            (q.variance, p.variance),
            (q.entropy(), p.entropy()),
        ]
        for one, other in pairs:
            assert one.shape == other.shape
            assert (one - other).abs().max() <= 1e-12 * max(1.0, abs(log_area(dim)))


def test_the_decoder_reads_entries_of_variance_one():
    """The decoder reads sqrt(d) z with |sqrt(d) z|^2 = d. Caught: z itself."""
    prior = vi.UniformSphere(40)
    assert torch.allclose(
        prior.decoder_input(prior().sample((9,))).square().mean(-1), torch.ones(9)
    )


def test_noise_of_zeros_has_a_direction():
    """Noise of exactly 0 has a direction: torch's noise is 0 once in 10^7 numbers.

    On the circle a single number is all the noise.
    """
    assert unit_vectors(torch.zeros(2, 1)).tolist() == [[1.0], [1.0]]
    assert unit_vectors(torch.zeros(3)).norm().item() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_output_of_a_network_has_a_direction(dtype):
    """Scales from 1e-30 to 1e30, and zeros, which point along e_1: no gradient, and no NaN.

    Caught: 0 / 0; a square that overflows.
    """
    head = vi.VonMisesFisher(3)
    for scale in (0.0, 1e-30, 1e-3, 1e3, 1e30):
        for raw in (-100.0, 0.0, 100.0):
            params = torch.tensor([[3 * scale, 0.0, -4 * scale, raw]], dtype=dtype)
            q = head(params.requires_grad_())
            expected = [0.6, 0.0, -0.8] if scale else [1.0, 0.0, 0.0]
            assert q.loc[0].tolist() == pytest.approx(expected, abs=1e-6)
            z, log_q = q.rsample_and_log_prob((50,))
            kl = closed_form_kl(q, vi.UniformSphere(3).to(dtype)())
            loss = z.sum() + log_q.sum() + q.entropy().sum() + q.log_prob(z).sum() + kl.sum()
            (gradient,) = torch.autograd.grad(loss, params)
            assert loss.isfinite()
            assert gradient.isfinite().all()


def test_concentration_comes_from_the_last_output():
    """kappa is 1 + softplus of the last output. Caught: exp in its place."""
    q = vi.VonMisesFisher(2)(torch.tensor([0.0, 5.0, 1.0]))
    assert q.concentration.item() == pytest.approx(1 + math.log1p(math.e))
    assert q.loc.tolist() == [0.0, 1.0]


def test_noise_belongs_to_the_datum():
    """A datum draws the same z alone and among others: at most 1e-12.

    The numbers of draws, data and dimensions coincide in any way.
    """
    for num in (1, 3, 4):
        params = torch.randn(3, 4)
        with datum_noise(0, range(3)):
            together = draw(vi.VonMisesFisher(3)(params), num).z
        for b in range(3):
            with datum_noise(0, [b]):
                alone = draw(vi.VonMisesFisher(3)(params[b : b + 1]), num).z
            assert (alone - together[:, b : b + 1]).abs().max() <= 1e-12


def test_batches_and_samples_of_any_shape():
    """q of batch_shape () and (2, 5), samples of (), (7,) and (7, 3)."""
    head = vi.VonMisesFisher(4)
    for batch in [(), (2, 5)]:
        q = head(torch.randn(*batch, 5))
        for samples in [(), (7,), (7, 3)]:
            z, log_q = q.rsample_and_log_prob(samples)
            assert z.shape == (*samples, *batch, 4)
            assert log_q.shape == (*samples, *batch)
            assert (q.log_prob(z) - log_q).abs().max() <= 1e-12


def test_a_value_read_without_gradients_does_not_lose_them():
    """Reading a value under no_grad first leaves the gradient of the entropy the same.

    Caught: numbers kept from within no_grad.
    """
    params = torch.randn(2, 4).requires_grad_()
    fresh, read = vi.VonMisesFisher(3)(params), vi.VonMisesFisher(3)(params)
    with torch.no_grad():
        read.entropy()
    one, other = (torch.autograd.grad(q.entropy().sum(), params)[0] for q in (fresh, read))
    assert torch.equal(one, other)


@pytest.mark.parametrize("make", [vi.VonMisesFisher, vi.UniformSphere])
@pytest.mark.parametrize("latent_dim", [0, 1])
def test_refuses_less_than_a_circle(make, latent_dim):
    with pytest.raises(vi.ConfigurationError, match="latent_dim must be greater than 1"):
        make(latent_dim)

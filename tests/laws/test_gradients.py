"""Gradients of bounds: exact by quadrature, over random draws, and by finite differences."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Independent, Laplace

import vi
from tests.support.oracles import (
    LinearGaussian,
    exact_diagonal,
    fix_noise,
    hermite,
    standard_error,
)
from vi.distributions.affine import affine
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.kl import closed_form_kl
from vi.distributions.normal import Normal
from vi.math import log_mean_exp


def _curved_vae() -> vi.VAE:
    """Return a VAE with one latent and a tanh decoder: no bound of it has a closed form."""
    model = vi.VAE(
        data_shape=(3,),
        encoder=vi.MLP([]),
        decoder=vi.MLP([4], nn.Tanh()),
        posterior=vi.DiagonalGaussian(1),
        prior=vi.StandardNormal(1),
        likelihood=vi.Gaussian(),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.4)
    return model


def _gradient(model: nn.Module, value: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


def _integral(model: vi.VAE, x: torch.Tensor, num_samples: int) -> torch.Tensor:
    """Return the bound as an integral over z on a fixed grid; only densities depend on phi.

    K = 1: int q(z) log w(z) dz. K = 2: int int q(z) q(z') log((w(z) + w(z')) / 2) dz dz'.
    """
    q = model.posterior(x)
    centre, width = q.mean.detach(), 11 * q.stddev.detach()
    z = centre + width * torch.linspace(-1, 1, 700)[:, None, None]
    log_q = q.log_prob(z).squeeze(-1)
    log_w = model.log_joint(x, z).squeeze(-1) - log_q
    mass = log_q.exp() * (z[1, 0, 0] - z[0, 0, 0])
    if num_samples == 1:
        return (mass * log_w).sum()
    pairs = torch.logaddexp(log_w, log_w[:, None]) - math.log(2)
    return (mass * mass[:, None] * pairs).sum()


def _expected(model: vi.VAE, x: torch.Tensor, bound: vi.Bound, num_samples: int) -> torch.Tensor:
    """Return E[surrogate] of the bound, with each pair of Gauss-Hermite nodes as one datum."""
    nodes, weights = hermite(80)
    noise = torch.cartesian_prod(*[nodes] * num_samples).reshape(-1, num_samples)
    weight = torch.cartesian_prod(*[weights] * num_samples).reshape(-1, num_samples).prod(-1)
    fix_noise(model, noise.mT[..., None])
    return (weight * bound(model, x.expand(len(noise), -1)).surrogate).sum()


def test_pathwise_gradient_of_the_elbo(make_elbo):
    """The total derivative is exact over 80 Gauss-Hermite nodes, for a tanh decoder: at most 1e-7.

    Caught: a detached log q in LogWeightELBO; a detached entropy; a detached KL; a detached z.
    """
    model, x = _curved_vae(), torch.randn(1, 3)
    exact = _gradient(model, _integral(model, x, 1))
    estimated = _gradient(model, _expected(model, x, make_elbo(num_samples=1), 1))
    assert (estimated - exact).abs().max() <= 1e-7


def test_pathwise_gradient_of_iwae():
    """The gradient for K = 2 is exact over 80 x 80 nodes: at most 1e-7.

    Caught: a detached log q (STL, biased at K = 2); the mean of the log-weights.
    """
    model, x = _curved_vae(), torch.randn(1, 3)
    exact = _gradient(model, _integral(model, x, 2))
    estimated = _gradient(model, _expected(model, x, vi.IWAE(2), 2))
    assert (estimated - exact).abs().max() <= 1e-7


@pytest.mark.parametrize(("make", "num_samples"), [(vi.ELBO, 1), (vi.IWAE, 2)])
def test_gradient_over_the_real_generator(make, num_samples):
    """200 000 random draws of ten coordinates of the gradient agree with quadrature: |t| <= 4.75.

    200 replicates of 1 000 draws each, seed 0. The family fails by chance about once in 25 000
    (Student t with 199 degrees of freedom). Caught: a detached KL, a detached z, and draws with a
    standard deviation of 1.02 in place of 1 (see the next test).
    """
    assert _largest_t(make, num_samples, stretch=1.0) <= 4.75


@pytest.mark.parametrize(("make", "num_samples"), [(vi.ELBO, 1), (vi.IWAE, 2)])
def test_gradient_test_has_the_power_to_fail(monkeypatch, make, num_samples):
    """Noise that is 2 % too wide fails: t = 11.1 and 17.1 (6.0 and 8.8 at 1 %)."""
    assert _largest_t(make, num_samples, stretch=1.02, monkeypatch=monkeypatch) > 4.75


def _largest_t(make, num_samples, stretch, monkeypatch=None) -> float:
    torch.manual_seed(0)
    model, x = _curved_vae(), torch.randn(1, 3)
    exact = _gradient(model, _integral(model, x, num_samples))
    if monkeypatch:
        rsample = Normal.rsample
        wider = lambda q, shape=(): q.loc + stretch * (rsample(q, shape) - q.loc)
        monkeypatch.setattr(Normal, "rsample", wider)
    bound, many = make(num_samples), x.expand(1000, -1)
    draws = [_gradient(model, bound(model, many).surrogate.mean()) for _ in range(200)]
    # Five of the eight coordinates of the encoder, and every seventh of the decoder.
    ten = [*range(5), *range(8, len(exact), 7)][:10]
    error = torch.stack(draws) - exact
    t = error.mean(0) / standard_error(error)
    assert len(ten) == 10
    return float(t[ten].abs().max())


def test_gradient_of_the_linear_gaussian_elbo():
    """The gradient equals that of log p(x) - KL(q || p(z|x)), for theta and phi together.

    q is the exact posterior of the initial model, so that its parameters stay fixed.
    """
    model = LinearGaussian.random()
    x = model.sample(20)
    q = exact_diagonal(model, x)
    loc, log_scale = (p.detach().requires_grad_() for p in (q.mean, q.stddev.log()))
    model.infer = lambda model, x: Independent(Normal(loc, log_scale.exp()), 1)
    model.given_prior = vi.StandardNormal(3)()
    leaves = [*model.parameters(), loc, log_scale]
    exact = torch.autograd.grad(model.exact_elbo(x).sum(), leaves)
    with torch.no_grad():
        rows = torch.arange(20).repeat(2000)
    model.infer = lambda model, x: Independent(Normal(loc[rows], log_scale.exp()[rows]), 1)
    replicates = [
        torch.autograd.grad(vi.ELBO()(model, x[rows]).surrogate.sum() / 2000, leaves)
        for _ in range(20)
    ]
    flat = lambda parts: torch.cat([p.flatten() for p in parts])
    error = torch.stack([flat(r) for r in replicates]) - flat(exact)
    t = error.mean(0) / standard_error(error)
    # 20 replicates: Student t with 19 degrees of freedom; 153 coordinates; 1 in 2 000 by chance.
    assert t.abs().max() <= 6.5


def test_gradcheck_affine():
    """Gradients of ``affine`` agree with finite differences. Caught: a detached scale."""
    leaves = [torch.randn(4, 3), torch.rand(4, 3) + 0.5, torch.randn(3), torch.rand(3) + 0.5]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    x = torch.randn(4, 3, requires_grad=True)
    for family in (Normal, Laplace):
        log_prob = lambda x, m, s, a, b: affine(Independent(family(m, s), 1), a, b).log_prob(x)  # noqa: B023
        assert gradcheck(log_prob, (x, *leaves))


def test_gradcheck_posterior(make_posterior):
    """Gradients of log q agree with finite differences, also in the head's own parameters.

    In evaluation mode.
    """
    _gradcheck_log_prob(make_posterior(3).eval())


def test_gradcheck_likelihood(make_likelihood):
    """Gradients of log p agree with finite differences, also in the head's own parameters.

    In evaluation mode.
    """
    likelihood = make_likelihood().eval()
    likelihood.set_event_shape((3,))
    _gradcheck_log_prob(likelihood)


def _gradcheck_log_prob(head: ConditionalDistribution) -> None:
    """Check all parameters, or a random direction if there are hundreds."""
    params = torch.randn(4, *head.out_shape, requires_grad=True)
    x = head(params).sample()
    inputs = (params, *head.parameters())
    log_prob = lambda params, *_: head(params).log_prob(x)
    assert gradcheck(log_prob, inputs, fast_mode=sum(map(Tensor.numel, inputs)) > 300)


def test_gradcheck_kl_and_log_mean_exp():
    """Gradients of the KL and of log-mean-exp agree with finite differences."""
    loc, raw = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    p = vi.StandardNormal(3)()
    kl = lambda loc, raw: closed_form_kl(Independent(Normal(loc, raw.exp()), 1), p)
    assert gradcheck(kl, (loc, raw))
    assert gradcheck(lambda x: log_mean_exp(x, 0), (loc,))

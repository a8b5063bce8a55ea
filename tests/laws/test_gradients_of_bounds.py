"""Gradients of the parts of bounds: the weight on a KL, the layers of a ladder.

They are compared with the gradient of E_q[f(z)] through its densities only,

    sum_k w_k f(z_k) q(z_k) / q(z_k).detach(),    z_k detached,

over the nodes of a Gauss-Hermite rule, so that no path through a draw is involved.
"""

import pytest
import torch
from torch import Tensor, nn

import vi
from tests.support.oracles import fix_noise, hermite
from vi.distributions.normal import Normal
from vi.math import log_mean_exp

NODES = 60


def _gradient(model: nn.Module, value: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


def _smaller(model: nn.Module) -> nn.Module:
    """Shrink the parameters: curved enough to have no closed form, smooth enough for the rule."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.4)
    return model


def _product_rule(axes: int, num_nodes: int = NODES) -> tuple[Tensor, Tensor]:
    """Return nodes (S, axes) and weights (S,) of E f(e), e ~ N(0, I)."""
    nodes, weights = hermite(num_nodes)
    noise = torch.cartesian_prod(*[nodes] * axes).reshape(-1, axes)
    return noise, torch.cartesian_prod(*[weights] * axes).reshape(-1, axes).prod(-1)


def _by_scores(log_q: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    return (weight * (log_q - log_q.detach()).exp() * f).sum()


def _curved_vae() -> vi.VAE:
    parts = vi.MLP([]), vi.MLP([4], nn.Tanh()), vi.DiagonalGaussian(1), vi.StandardNormal(1)
    model = vi.VAE((3,), *parts, vi.Gaussian())
    return _smaller(model)  # pyright: ignore


@pytest.mark.parametrize("step", [30, 100])
@pytest.mark.parametrize("num_samples", [1, 2])
def test_beta_weighs_the_gradient_of_the_kl(make_bound, num_samples, step):
    """grad E[bound] - (beta_t - 1) grad KL, K = 1 and 2, in a warm-up and after it: 1e-7.

    Caught: the KL detached in ``Beta``; the weight of the last step in the surrogate.
    """
    model, x = _curved_vae(), torch.randn(1, 3)
    noise, weight = _product_rule(num_samples)
    many = x.expand(len(noise), -1)
    fix_noise(model, noise.mT[..., None])
    bound = vi.Beta(make_bound(num_samples=num_samples), beta=3.0, warmup_steps=100, start=0.5)
    bound.at_step(step)
    plain = _gradient(model, (weight * bound.bound(model, many).surrogate).sum())
    weighted = _gradient(model, (weight * bound(model, many).surrogate).sum())

    node, of_node = hermite(NODES)
    q = model.posterior(x)
    z = (q.mean + q.stddev * node[:, None, None]).detach()
    log_q = q.log_prob(z).squeeze(1)
    kl = _by_scores(log_q, log_q - model.prior().log_prob(z).squeeze(1), of_node)
    beta = 0.5 + 2.5 * step / 100
    expected = plain - (beta - 1) * _gradient_or_zero(model, kl)
    assert (weighted - expected).abs().max() <= 1e-7


def _gradient_or_zero(model: nn.Module, value: Tensor) -> Tensor:
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in gradients])


@pytest.mark.parametrize(("make", "num_samples"), [(vi.LogWeightELBO, 1), (vi.IWAE, 2)])
def test_bounds_of_log_weights_have_the_gradient_of_their_integral(make, num_samples):
    """Bounds of log-weights have the gradient of their integral, K = 1 and 2: at most 1e-7.

    Caught: a detached log q; the mean of the log-weights in place of the log of their mean.
    """
    model, x = _curved_vae(), torch.randn(1, 3)
    noise, weight = _product_rule(num_samples)
    q = model.posterior(x)
    z = (q.mean + q.stddev * noise.mT[..., None]).detach()
    log_q = q.log_prob(z)
    exact = _by_scores(log_q.sum(0), log_mean_exp(model.log_joint(x, z) - log_q, 0), weight)
    exact = _gradient(model, exact)
    fix_noise(model, noise.mT[..., None])
    estimate = make(num_samples)(model, x.expand(len(noise), -1)).surrogate
    assert (_gradient(model, (weight * estimate).sum()) - exact).abs().max() <= 1e-7


def _curved_ladder() -> vi.Ladder:
    parts = vi.MLP([]), vi.MLP([4], nn.Tanh()), vi.SharedScaleGaussian(scale=0.7)
    model = vi.Ladder((3,), *parts, latent_dims=[1, 1], width=4, activation=nn.Tanh())
    return _smaller(model)  # pyright: ignore


@pytest.mark.parametrize("make", [vi.LayeredELBO, vi.LogWeightELBO])
def test_gradient_goes_through_every_layer(monkeypatch, make):
    """In the ladder p(z_1|z_2) reads the draw of z_2: exact over 60 x 60 nodes, at most 1e-7.

    Caught: a detached z for p's conditionals in ``LayeredELBO``; a detached z in the likelihood;
    the KL of the upper layer left out of the surrogate.
    """
    model, x = _curved_ladder(), torch.randn(1, 3)
    noise, weight = _product_rule(2)
    layers = [noise[None, :, 1:], noise[None, :, :1]]  # z_2 is drawn first
    drawn = iter(2 * layers)
    rsample = lambda q, shape=(): (q.loc + q.scale * next(drawn)).view(1, len(noise), 1)
    monkeypatch.setattr(Normal, "rsample", rsample)
    many = x.expand(len(noise), -1)
    q = model.posterior(many)
    z = q.rsample((1,)).detach()
    log_q = q.log_prob(z)[0]
    exact = _gradient(model, _by_scores(log_q, model.log_joint(many, z)[0] - log_q, weight))
    estimate = make()(model, many).surrogate
    assert (_gradient(model, (weight * estimate).sum()) - exact).abs().max() <= 1e-7

"""Four conjugate pairs: their closed-form evidence equals an integral, at most 1e-9."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Distribution,
    Gamma,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
)
from torch.nn.functional import logsigmoid, one_hot

import vi
from vi.distributions.kl import closed_form_kl
from vi.models.base import LatentVariableModel

N, B = 4, 6  # observations in a datum, data


@dataclass
class Pair:
    """Prior, likelihood of one observation, and their posterior and evidence in closed form.

    ``unconstrain`` maps real coordinates t to (z, log |dz/dt|), for the quadrature over t.
    """

    prior: Distribution
    likelihood: Callable[[Tensor], Distribution]
    posterior: Callable[[Tensor], Distribution]
    log_evidence: Callable[[Tensor], Tensor]
    unconstrain: Callable[[Tensor], tuple[Tensor, Tensor]]
    dim: int = 1


def normal_normal() -> Pair:
    m, s, noise = 0.3, 1.5, 0.7
    precision = 1 / s**2 + N / noise**2
    covariance = noise**2 * torch.eye(N) + s**2 * torch.ones(N, N)
    return Pair(
        Normal(torch.tensor(m), s),
        lambda z: Normal(z, noise),
        lambda x: Normal((m / s**2 + x.sum(-1) / noise**2) / precision, precision**-0.5),
        lambda x: MultivariateNormal(torch.full((N,), m), covariance).log_prob(x),
        lambda t: (t, torch.zeros_like(t)),
    )


def beta_bernoulli() -> Pair:
    a, b = torch.tensor(1.7), torch.tensor(1.8)
    log_beta = lambda a, b: a.lgamma() + b.lgamma() - (a + b).lgamma()
    counts = lambda x: (a + x.sum(-1), b + N - x.sum(-1))

    def unconstrain(t: Tensor) -> tuple[Tensor, Tensor]:
        """Without the last 1e-9 below 1, where 1 - z has lost its digits; 1e-16 of the mass."""
        log_jacobian = logsigmoid(t) + logsigmoid(-t)
        return t.sigmoid(), log_jacobian.where(t < 20, torch.full_like(t, -math.inf))

    return Pair(
        Beta(a, b),
        lambda z: Bernoulli(z),
        lambda x: Beta(*counts(x)),
        lambda x: log_beta(*counts(x)) - log_beta(a, b),
        unconstrain,
    )


def gamma_poisson() -> Pair:
    a, rate = torch.tensor(2.5), torch.tensor(0.6)

    def log_evidence(x: Tensor) -> Tensor:
        total = a + x.sum(-1)
        top = total.lgamma() + a * rate.log() - total * (rate + N).log()
        return top - a.lgamma() - (x + 1).lgamma().sum(-1)

    return Pair(
        Gamma(a, rate),
        lambda z: Poisson(z),
        lambda x: Gamma(a + x.sum(-1), rate + N),
        log_evidence,
        lambda t: (t.exp(), t),
    )


def dirichlet_categorical() -> Pair:
    alpha = torch.tensor([0.9, 1.6, 2.2])
    counts = lambda x: alpha + one_hot(x.long(), 3).sum(-2)
    log_beta = lambda c: c.lgamma().sum(-1) - c.sum(-1).lgamma()

    def unconstrain(t: Tensor) -> tuple[Tensor, Tensor]:
        log_z = torch.cat([t, torch.zeros_like(t[..., :1])], -1).log_softmax(-1)
        return log_z.exp(), log_z.sum(-1)

    return Pair(
        Dirichlet(alpha),
        lambda z: Categorical(z),
        lambda x: Dirichlet(counts(x)),
        lambda x: log_beta(counts(x)) - log_beta(alpha),
        unconstrain,
        dim=2,
    )


class Conjugate(LatentVariableModel):
    """N observations that share one z."""

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self.pair, self.data_shape = pair, (N,)

    def prior(self, **given: Tensor) -> Distribution:
        return self.pair.prior

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        axis = -1 - len(self.pair.prior.event_shape)
        each = z.unsqueeze(axis).repeat_interleave(N, axis)
        return Independent(self.pair.likelihood(each), 1)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        return self.pair.posterior(x)


def nodes(pair: Pair) -> tuple[Tensor, Tensor]:
    """z and the log-weights of the trapezoidal rule, spectral for functions that decay."""
    step = 0.1 if pair.dim == 1 else 0.25
    axis = torch.arange(-60.0, 60.0, step)
    t = axis if pair.dim == 1 else torch.cartesian_prod(*[axis] * pair.dim)
    z, log_jacobian = pair.unconstrain(t)
    inside = log_jacobian > -300
    return z[inside], log_jacobian[inside] + pair.dim * math.log(step)


@pytest.fixture(params=[normal_normal, beta_bernoulli, gamma_poisson, dirichlet_categorical])
def model(request) -> Conjugate:
    return Conjugate(request.param())


@pytest.fixture
def x(model) -> Tensor:
    return model.sample(B).to(torch.get_default_dtype())


def _table(model: Conjugate, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z, log p(x, z) (nodes, B), and the log weights (nodes, 1)."""
    z, log_weight = nodes(model.pair)
    keep = model.prior().support.check(z)
    z, log_weight = z[keep], log_weight[keep]
    inner = z[:, None].expand(len(z), len(x), *z.shape[1:])
    return inner, model.log_joint(x, inner), log_weight[:, None]


def test_the_evidence_is_the_integral(model, x):
    """The evidence is int p(x, z) dz.

    Caught: a forgotten factorial in the Poisson evidence; a forgotten Jacobian.
    """
    _, log_joint, log_weight = _table(model, x)
    integral = (log_joint + log_weight).logsumexp(0)
    assert (integral - model.pair.log_evidence(x)).abs().max() <= 1e-9


@pytest.mark.parametrize("bound", [vi.LogWeightELBO(3), vi.IWAE(1), vi.IWAE(5)])
def test_every_log_weight_of_the_exact_posterior_is_the_evidence(model, x, bound):
    """log p(x, z) - log q(z) is log p(x) for the exact q.

    Caught: parameters of q that are 1 % off.
    """
    assert (bound(model, x).value - model.pair.log_evidence(x)).abs().max() <= 1e-9


def test_log_likelihood_is_the_evidence_without_error(model, x):
    estimate = vi.log_likelihood(model, x, 50)
    assert (estimate.value - model.pair.log_evidence(x)).abs().max() <= 1e-9
    assert estimate.standard_error.max() <= 1e-6


def test_the_elbo_in_closed_form_is_the_evidence(model, x):
    """E_q[log p(x|z)] by quadrature minus the closed-form KL is log p(x) for the exact q.

    Caught: the KL of prior and posterior exchanged; the entropy of the prior for that of q.
    """
    z, log_joint, log_weight = _table(model, x)
    q, p, evidence = model.posterior(x), model.prior(), model.pair.log_evidence(x)
    weights = (q.log_prob(z) + log_weight).exp()
    assert (weights.sum(0) - 1).abs().max() <= 1e-9
    reconstruction = (weights * (log_joint - p.log_prob(z))).sum(0)
    assert (reconstruction - closed_form_kl(q, p) - evidence).abs().max() <= 1e-9
    energy = (weights * log_joint).sum(0)
    assert (energy + q.entropy() - evidence).abs().max() <= 1e-9

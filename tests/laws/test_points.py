"""The points that estimate E_q: a support, draws, or one point."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)

import vi
from vi.diagnostics.mutual_information import mutual_information
from vi.distributions.datum_noise import datum_noise
from vi.distributions.delta import Delta
from vi.distributions.draw import draw
from vi.distributions.full_normal import FullNormal
from vi.distributions.kl import closed_form_kl
from vi.inference.base import Inference
from vi.inference.given import with_q
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context

B, S, D = 4, 3, 5


class Answers(Inference):
    """q(z|x) linear in x."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(D, S)

    def forward(self, model, x, **given):
        return OneHotCategorical(logits=self.encoder(x))


class Switch(LatentVariableModel):
    """Model with z one of three and q(z|x) linear in x: every bound is a sum of three terms."""

    def __init__(self):
        super().__init__()
        self.data_shape = (D,)
        self.loc = nn.Parameter(torch.randn(S, D))
        self.logits = nn.Parameter(torch.randn(S))
        self.inference = Answers()

    @property
    def encoder(self):
        return self.inference.encoder

    def prior(self, **given):
        return OneHotCategorical(logits=self.logits)

    def likelihood(self, z, **given):
        return Independent(Normal(z @ self.loc, 0.8), 1)

    def elbo(self, x):
        """sum_s q_s (log p(x|s) + log p_s - log q_s), (B,)."""
        log_q = self.encoder(x).log_softmax(-1)
        log_x = Independent(Normal(self.loc, 0.8), 1).log_prob(x[:, None])
        return (log_q.exp() * (log_x + self.logits.log_softmax(-1) - log_q)).sum(-1)


@pytest.fixture
def model():
    return Switch()


@pytest.fixture
def x():
    return torch.randn(B, D)


def test_expectation_over_a_support_is_the_sum():
    """E_q[f] for f(z) = a_n . z does not depend on the number of samples: at most 1e-14.

    Caught: the mean over the support; log q for q.
    """
    probs, a = torch.rand(B, S), torch.randn(B, S)
    q = OneHotCategorical(probs=probs)
    expected = (probs / probs.sum(-1, keepdim=True) * a).sum(-1)
    for num_samples in (1, 7):
        at = draw(q, num_samples, enumerate_support=True)
        assert at.z.shape == (S, 1, S)
        assert (at.mean((at.z * a).sum(-1)) - expected).abs().max() <= 1e-14
        assert at.weights is not None
        assert torch.equal(at.log_q.exp(), at.weights)
        assert (at.weights.sum(0) - 1).abs().max() <= 1e-14


def test_expectation_over_draws_is_their_mean():
    """Draws are those of ``rsample``, and log q is that of the draws.

    Also under datum noise, one by one. Caught: noise that depends on the batch.
    """
    q = Independent(Normal(torch.randn(B, 2), 0.3), 1)
    torch.manual_seed(3)
    z = q.rsample((6,))
    for enumerate_support in (False, True):
        torch.manual_seed(3)
        at = draw(q, 6, enumerate_support=enumerate_support)
        assert torch.equal(at.z, z)
        assert at.weights is None
        assert torch.equal(at.log_q, q.log_prob(z))
        assert torch.equal(at.mean(at.log_q), at.log_q.mean(0))
    with datum_noise(0, range(B)):
        keyed = draw(q, 6).z
    with datum_noise(0, [2]):
        assert torch.equal(draw(q.__class__(Normal(q.mean[2:3], 0.3), 1), 6).z, keyed[:, 2:3])


def test_log_q_is_computed_once_and_only_for_who_asks():
    """log q is computed on first use and only once, also for draws with their own density.

    Caught: a density that every bound pays for.
    """
    asked = []

    class Listening(FullNormal):
        def _density_of(self, noise):
            asked.append(noise)
            return super()._density_of(noise)

    q = Listening(torch.randn(B, 2), torch.ones(B, 2), torch.eye(2).expand(B, 2, 2))
    at = draw(q, 6)
    assert not asked
    assert (at.log_q - q.log_prob(at.z)).abs().max() <= 1e-13
    assert at.log_q is at.log_q
    assert len(asked) == 1


@pytest.mark.parametrize("make", [vi.ELBO, vi.EntropyELBO, vi.LogWeightELBO])
def test_elbo_of_a_discrete_q_is_exact_with_its_gradient(make, model, x):
    """Value and gradient in every parameter equal the sum written out: at most 1e-13.

    Caught: weights that are detached, so that the encoder learns from the entropy alone.
    """
    estimate, exact = make()(model, x), model.elbo(x)
    assert (estimate.value - exact).abs().max() <= 1e-13
    terms = estimate.terms
    assert (terms["reconstruction"] - terms["kl"] - exact).abs().max() <= 1e-13
    parameters = list(model.parameters())
    ours = torch.autograd.grad(estimate.surrogate.sum(), parameters)
    theirs = torch.autograd.grad(exact.sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-13


@pytest.mark.parametrize("bound", [vi.ELBO(), vi.LogWeightELBO(), vi.Beta(vi.ELBO())], ids=str)
def test_a_discrete_model_trains_jointly(bound, model, x):
    """vi.Joint trains a discrete model by summing over z."""
    optimizers, _ = vi.Joint().configure(model, bound)
    before = bound(model, x).value.mean()
    for _ in range(50):
        batch = vi.data.base.Batch(x, {})
        vi.Joint().step(Context(model, bound, optimizers), batch)
    assert bound(model, x).value.mean() > before


def test_draw_refuses_a_discrete_q_whose_gradient_is_asked_for(model, x):
    """Exit code 2 with options that work; a straight-through q has its own gradient.

    Caught: the gradient of log q alone, which is not that of the bound.
    """
    with pytest.raises(vi.ConfigurationError, match="no reparameterised sample") as caught:
        draw(model.posterior(x), 3)
    assert caught.value.exit_code == 2
    assert "bound=elbo" in caught.value.hint
    with pytest.raises(vi.ConfigurationError, match="no reparameterised sample"):
        vi.IWAE(3)(model, x)
    at = draw(OneHotCategoricalStraightThrough(logits=model.encoder(x)), 3)
    assert at.z.requires_grad
    assert at.log_q.requires_grad


def test_draw_gives_a_discrete_q_where_nobody_asks_for_its_gradient(model, x):
    """In an evaluation, and while theta alone is trained, q is sampled.

    Caught: refused for its type.
    """
    with torch.no_grad():
        at = draw(model.posterior(x), 3)
        assert vi.IWAE(3)(model, x).value.shape == (B,)
    assert at.z.shape == (3, B, S)
    assert at.log_q.shape == (3, B)
    model.encoder.requires_grad_(False)
    vi.IWAE(3)(model, x).surrogate.sum().backward()
    assert model.loc.grad is not None


# All mass on one point


def test_a_point_is_a_certain_distribution():
    """Mean, covariance 0, entropy 0, equal draws, and KL(q || p) = -log p at the point.

    Caught: the KL without its minus sign.
    """
    value = torch.eye(S)[torch.tensor([0, 2, 1, 0])]
    q, p = Delta(value), OneHotCategorical(logits=torch.randn(S))
    assert q.batch_shape == (B,)
    assert q.event_shape == (S,)
    assert torch.equal(q.mean, value)
    assert torch.equal(q.sample((5, 2)), value.expand(5, 2, B, S))
    assert (q.variance == 0).all()
    assert torch.equal(q.covariance_matrix, torch.zeros(B, S, S))
    assert torch.equal(q.entropy(), torch.zeros(B))
    assert torch.equal(closed_form_kl(q, p), -p.log_prob(value))
    nearly = OneHotCategorical(probs=(1 - 1e-12) * value + 1e-12 / S)
    assert (closed_form_kl(nearly, p) - closed_form_kl(q, p)).abs().max() <= 1e-9


@pytest.mark.parametrize(
    "p",
    [
        lambda: Independent(Normal(torch.zeros(2), 1.0), 1),
        lambda: MultivariateNormal(torch.zeros(2), torch.eye(2)),
    ],
)
def test_kl_of_a_point_reaches_every_prior(p):
    """torch's registry selects this KL for every prior."""
    value = torch.randn(B, 2)
    assert (closed_form_kl(Delta(value), p()) + p().log_prob(value)).abs().max() <= 1e-14


# Mutual information


@pytest.fixture
def carried(small_vae):
    """(q, num_samples) -> the information between N data and a z that has this q."""

    def measure(q, num_samples=1):
        x = torch.zeros(*q.batch_shape, 6)
        return mutual_information(with_q(small_vae(), q), x, num_samples)

    return measure


def test_two_clusters_carry_log_two(carried):
    """100 data in two clusters at +-50 with sd 1 carry log 2 nats, to 1e-12.

    z in 1 or 2 dimensions or discrete. A q that ignores x carries 0, one that separates all data
    log N. Caught: the sum over the mixture in place of its mean; axes of draws and of data
    exchanged.
    """
    sign = torch.tensor([1.0, -1.0]).repeat(50)[:, None]
    gaussian = lambda loc: Independent(Normal(loc, 1.0), 1)
    bits = OneHotCategorical(logits=1e4 * torch.cat([sign, -sign], -1))
    for q in (gaussian(50 * sign), gaussian(50 * sign.expand(-1, 2)), bits):
        for num_samples in (1, 3):
            assert carried(q, num_samples) == pytest.approx(math.log(2), abs=1e-12)
    apart = 100 * torch.arange(100.0)[:, None]
    assert carried(gaussian(apart)) == pytest.approx(math.log(100), abs=1e-12)
    assert carried(gaussian(0 * apart)) == pytest.approx(0, abs=1e-12)


def test_mutual_information_of_a_discrete_q_is_its_sum(carried):
    """H(q(z)) - mean H(q(z|x)) of 50 data, 4 000 draws, seed 0: within 0.01, ten standard errors.

    Caught: the sum over the mixture in place of its mean.
    """
    q = OneHotCategorical(logits=2 * torch.randn(50, S))
    exact = Categorical(probs=q.probs.mean(0)).entropy() - q.entropy().mean()
    assert carried(q, num_samples=4000) == pytest.approx(exact.item(), abs=0.01)

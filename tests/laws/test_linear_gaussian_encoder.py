"""PPCA and factor analysis with an encoder in place of their posterior."""

import copy
from functools import partial

import pytest
import torch

import vi
from tests.support.inference import amortized, q_at, said
from tests.support.linear_gaussian import GAUSSIANS, MODELS, D, N, Z, at_random, psi
from tests.support.oracles import FixedNoiseHead, SigmaPoints, sigma_noise
from vi.models.linear_gaussian import LinearGaussian


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make_model(request):
    """Makes a model of either kind with parameters at random."""
    return partial(at_random, request.param)


@pytest.fixture(params=GAUSSIANS.values(), ids=GAUSSIANS)
def make_gaussian(request):
    """Makes a posterior of the family that holds the exact one, or of a part of it."""
    return request.param


def _sigma_amortized(model: LinearGaussian) -> LinearGaussian:
    """With a diagonal q whose draws are sigma points."""
    return amortized(model, vi.MLP([5], torch.nn.Tanh()), FixedNoiseHead(Z, sigma_noise(Z)))


def _set_exactly(model: LinearGaussian, tail: torch.Tensor) -> None:
    """Make a linear encoder give the exact posterior's mean, and the same tail for every x."""
    (layer,) = model.inference.encoder.layers
    with torch.no_grad():
        unit, zero = (
            model.exact_posterior(rows).mean for rows in (torch.eye(D), torch.zeros(1, D))
        )
        gain = unit - zero
        layer.weight.copy_(torch.cat([gain.mT, torch.zeros(len(tail), D)]))
        layer.bias.copy_(torch.cat([-model.loc @ gain, tail]))


def _precision(model: LinearGaussian) -> torch.Tensor:
    return torch.eye(Z) + (model.weight.mT / psi(model)) @ model.weight


def test_gap_of_an_encoder_is_what_the_elbo_lacks(make_model, make_elbo):
    """log p(x) - ELBO = gap(x), over sigma points: at most 1e-10. Caught: KL(p || q)."""
    model, x = _sigma_amortized(make_model()), torch.randn(N, D)
    elbo = make_elbo(num_samples=2 * Z)(model, x).value
    assert model.gap(x).min() > 0.1
    assert (model.log_evidence(x) - elbo - model.gap(x)).abs().max() <= 1e-10


def test_best_diagonal_q_has_the_gap_of_the_correlations(make_model):
    """With variances 1 / M_dd the gap is (sum log M_dd - log |M|) / 2 for every x: at most 1e-10.

    No other diagonal q is better: 100 perturbations. Caught: variances (M^-1)_dd.
    """
    model = amortized(make_model(), vi.MLP([]), vi.DiagonalGaussian(Z))
    precision, x = _precision(model), torch.randn(N, D)
    _set_exactly(model, -precision.diagonal().log() / 2)
    best = (precision.diagonal().log().sum() - precision.logdet()) / 2
    assert best > 0.01
    assert (model.gap(x) - best).abs().max() <= 1e-10
    parameters = said(model, x)
    for size in torch.logspace(-3, 0, 100):
        other = q_at(model, parameters + size * torch.randn_like(parameters))
        worse = vi.distributions.kl.closed_form_kl(other, model.exact_posterior(x))
        assert (worse > best).all()


class SigmaFullGaussian(vi.FullGaussian):
    """With draws that are sigma points."""

    def forward(self, params):
        q = super().forward(params)
        return SigmaPoints(q.loc, scale_tril=q.scale_tril)


@pytest.mark.parametrize("full", [False, True], ids=["diagonal", "full"])
def test_a_trained_linear_encoder_ends_at_the_best_gap_of_its_family(make_model, full):
    """By LBFGS on vi.ELBO over sigma points, theta held: at most 1e-3 nats, full q 0.

    Measured 1e-8 or less. Caught: the last row of L not read.
    """
    head = SigmaFullGaussian(Z) if full else FixedNoiseHead(Z, sigma_noise(Z))
    model = amortized(make_model(), vi.MLP([]), head)
    x, bound = model.sample(N), vi.ELBO(2 * Z)
    precision = _precision(model).detach()
    best = 0.0 if full else (precision.diagonal().log().sum() - precision.logdet()).item() / 2
    optimizer = torch.optim.LBFGS(
        model.inference.own_parameters(), max_iter=1000, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        loss = -bound(model, x).surrogate.mean()
        loss.backward()
        return loss

    assert model.gap(x).mean() > best + 0.1
    optimizer.step(loss)
    assert -1e-9 <= model.gap(x).mean() - best <= 1e-3


def test_full_q_of_a_linear_encoder_leaves_no_gap(make_model, make_log_weight_bound):
    """Set to the exact posterior: the gap at most 1e-10, and log-weights that are constant."""
    model, x = amortized(make_model(), vi.MLP([]), vi.FullGaussian(Z)), torch.randn(N, D)
    tril = model.exact_posterior(x).scale_tril[0].detach()
    rows, columns = torch.tril_indices(Z, Z, -1)
    unit = tril / tril.diagonal()[:, None]
    below = len(rows) * unit[rows, columns]
    _set_exactly(model, torch.cat([tril.diagonal().log(), below]))
    assert model.gap(x).abs().max() <= 1e-10
    value = make_log_weight_bound(num_samples=3)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


def test_an_amortized_model_is_the_exact_one_but_for_q(make_model):
    """Prior, likelihood, log-joint, evidence and samples; parameters fall into two groups."""
    exact, x, z = make_model(), torch.randn(N, D), torch.randn(4, N, Z)
    model = amortized(copy.deepcopy(exact), vi.MLP([5]), vi.DiagonalGaussian(Z))
    assert torch.equal(model.log_joint(x, z), exact.log_joint(x, z))
    assert torch.equal(model.log_evidence(x), exact.log_evidence(x))
    assert torch.equal(model.likelihood(z).mean, exact.likelihood(z).mean)
    assert torch.equal(model.prior().log_prob(z), exact.prior().log_prob(z))
    assert model.sample(7).shape == (7, D)
    theta = sum(p.numel() for p in exact.parameters())
    assert sum(p.numel() for p in model.generative_parameters()) == theta
    assert len(model.inference.own_parameters()) == 4
    assert exact.inference.own_parameters() == []
    model.initialize(x + 5)
    assert (model.loc - x.mean(0) - 5).abs().max() <= 1e-12


def test_every_bound_trains_an_amortized_model(make_bound, make_model, make_gaussian):
    """Values (50,) in double precision, a gradient for every parameter; encoders in single.

    Caught: q left in the precision of the encoder.
    """
    torch.set_default_dtype(torch.float32)
    model = amortized(make_model(), vi.MLP([5], torch.nn.Tanh()), make_gaussian(Z))
    x = torch.randn(N, D)
    estimate = make_bound(num_samples=3)(model, x)
    estimate.surrogate.mean().backward()
    assert (estimate.value.shape, estimate.value.dtype) == ((N,), torch.float64)
    assert said(model, x).dtype == torch.float32
    assert model.posterior(x).mean.dtype == model.gap(x).dtype == torch.float64
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name

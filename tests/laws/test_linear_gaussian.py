"""PPCA and factor analysis: their evidence and their posterior."""

from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from tests.support.linear_gaussian import MODELS, D, N, Z, answer_with, at_random, psi, random_q
from tests.support.oracles import SigmaPoints


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make_model(request):
    """Makes a model of either kind with parameters at random."""
    return partial(at_random, request.param)


def test_log_evidence_is_that_of_a_dense_gaussian(make_model):
    """log N(x; mu, W W' + Psi): at most 1e-10. Caught: Psi^-1/2 in place of Psi^-1 in M."""
    model, x = make_model(), 3 * torch.randn(N, D)
    covariance = model.weight @ model.weight.mT + psi(model).diag()
    dense = MultivariateNormal(model.loc, covariance)
    assert model.log_evidence(x).shape == (N,)
    assert (model.log_evidence(x) - dense.log_prob(x)).abs().max() <= 1e-10


def test_posterior_is_the_conditional_of_the_joint_gaussian(make_model):
    """By conditioning the dense Gaussian of (x, z): at most 1e-10. Caught: mu not taken off x."""
    model, x = make_model(), torch.randn(N, D)
    gain = torch.linalg.solve(model.weight @ model.weight.mT + psi(model).diag(), model.weight).mT
    q = model.posterior(x)
    assert (q.mean - (x - model.loc) @ gain.mT).abs().max() <= 1e-10
    expected = torch.eye(Z) - gain @ model.weight
    assert q.covariance_matrix.shape == q.scale_tril.shape == (N, Z, Z)
    assert (q.covariance_matrix - expected).abs().max() <= 1e-10


def test_evidence_is_elbo_plus_gap(make_model, make_elbo):
    """log p(x) = ELBO + KL(q || p(z|x)) over sigma points: at most 1e-10.

    Caught: mu not subtracted from x; Psi^-1/2 in place of Psi^-1 in M; a KL without its Z.
    """
    model, q = make_model(), random_q()
    x = model.sample(N)
    gap = kl_divergence(MultivariateNormal(q.loc, scale_tril=q.scale_tril), model.posterior(x))
    evidence = model.log_evidence(x)
    answer_with(model, q)
    elbo = make_elbo(num_samples=2 * Z)(model, x).value
    assert gap.min() > 0.1
    assert (evidence - elbo - gap).abs().max() <= 1e-10


@pytest.mark.parametrize("num_samples", [1, 7])
def test_log_weights_of_the_exact_posterior_are_the_evidence(
    make_model, make_log_weight_bound, num_samples
):
    """With the exact q every bound of log-weights is log p(x) pointwise, on random draws: 1e-10.

    Caught: a covariance twice too wide.
    """
    model = make_model()
    x = model.sample(N)
    value = make_log_weight_bound(num_samples=num_samples)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


def test_closed_forms_of_the_exact_posterior_are_the_evidence(make_model, make_elbo):
    """With the exact q every form of the ELBO is log p(x) over sigma points: at most 1e-10."""
    model = make_model()
    x = model.sample(N)
    exact = model.posterior(x)
    answer_with(model, SigmaPoints(exact.loc, scale_tril=exact.scale_tril))
    value = make_elbo(num_samples=2 * Z)(model, x).value
    oracle = exact.log_prob(exact.mean)
    assert (value - model.log_joint(x, exact.mean) + oracle).abs().max() <= 1e-10


def test_single_precision_comes_in_and_double_goes_out(make_model):
    """x and z as float32, at most 1e-12 from the same numbers as float64."""
    model, x, z = make_model(), torch.randn(N, D).float(), torch.randn(4, N, Z).float()
    for single, double in (
        (model.log_evidence(x), model.log_evidence(x.double())),
        (model.log_joint(x, z), model.log_joint(x.double(), z.double())),
        (model.e_step(x)["xz"], model.e_step(x.double())["xz"]),
    ):
        assert single.dtype == torch.float64
        assert (single - double).abs().max() <= 1e-12


def test_images_of_784_pixels_cost_no_square_matrix(make_model):
    """D = 784: nothing of D x D numbers is made. Caught: the dense evidence."""
    model, x = make_model(784, 20), torch.randn(2, 784)
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.append(out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    with Watch(), torch.no_grad():
        model.log_evidence(x)
        model.energy(model.e_step(x))
    assert max(made) < 784**2 / 4

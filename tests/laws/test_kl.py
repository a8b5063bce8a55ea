"""KL(q || p): N13."""

import math

import pytest
import torch
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal, StudentT

import vi
from vi.distributions.kl import closed_form_kl


def test_against_quadrature(make_posterior, make_prior):
    """One dimension, 20 pairs, trapezoid over 30 sd: at most 1e-8. Caught: KL(p || q)."""
    q, p = make_posterior(1)(torch.randn(20, 2)), make_prior(1)()
    z = q.mean + q.stddev * torch.linspace(-15, 15, 4001)[:, None, None]
    integrand = q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))
    integral = torch.trapezoid(integrand, z.squeeze(-1), dim=0)
    assert (closed_form_kl(q, p) - integral).abs().max() <= 1e-8


def test_against_full_covariance_in_torch(make_posterior, make_prior):
    """Five dimensions, summed over the event: at most 1e-12. Caught: the mean over the event."""
    q, p = make_posterior(5)(torch.randn(20, 10)), make_prior(5)()
    full = [MultivariateNormal(d.mean, d.stddev.square().diag_embed()) for d in (q, p)]
    reference = torch.distributions.kl_divergence(*full)
    assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12


def test_of_equal_distributions_is_zero(make_prior):
    p = make_prior(4)()
    assert closed_form_kl(p, p).abs().max() <= 1e-15


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_extreme_scales(make_posterior, make_prior, scale):
    """KL(N(0, s) || N(0, 1)) = (s^2 - 1) / 2 - log s, relative error at most 1e-12."""
    params = torch.tensor([[0.0, math.log(scale)]])
    kl = closed_form_kl(make_posterior(1)(params), make_prior(1)())
    assert kl.item() == pytest.approx((scale**2 - 1) / 2 - math.log(scale), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-22, 1e-30])
def test_extreme_scales_in_single_precision(make_posterior, make_prior, scale):
    """The precision of training: finite to 1e-30, relative error at most 1e-6.

    Caught: torch's own formula, the logarithm of a squared ratio (inf at 1e-30).
    """
    params = torch.tensor([[0.0, math.log(scale)]], dtype=torch.float32)
    kl = closed_form_kl(make_posterior(1)(params), make_prior(1).float()())
    assert kl.item() == pytest.approx(-0.5 - math.log(scale), rel=1e-6)


@pytest.mark.parametrize(
    ("q", "p", "name"),
    [
        (Normal(0.0, 1.0), StudentT(3.0), r"KL\(Normal \|\| StudentT\)"),
        (
            Independent(Laplace(torch.zeros(2), 1.0), 1),
            MultivariateNormal(torch.zeros(2), torch.eye(2)),
            r"KL\(Independent\(Laplace\) \|\| MultivariateNormal\)",
        ),
    ],
)
def test_refuses_by_name(q, p, name):
    """Caught: torch's bare NotImplementedError let through."""
    with pytest.raises(vi.ConfigurationError, match=name) as refusal:
        closed_form_kl(q, p)
    assert "bound=elbo_log_weight" in refusal.value.hint

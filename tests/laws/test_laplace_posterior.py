"""The Laplace posterior: laws beyond those of every posterior."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import Independent, Laplace, Normal

import vi
from vi.distributions.kl import closed_form_kl
from vi.testing.quadrature import expectation


def test_parameters_mean_what_the_docstring_says():
    """Parameters are mu and log b; the variance is 2 b^2. Caught: b as the standard deviation."""
    q = vi.DiagonalLaplace(2)(torch.tensor([1.0, 2.0, 0.0, math.log(3.0)]))
    assert q.mean.tolist() == [1.0, 2.0]
    assert q.variance.tolist() == pytest.approx([2.0, 18.0])
    assert q.log_prob(torch.tensor([2.0, 5.0])).item() == pytest.approx(-2 - math.log(12.0))


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_kl_against_quadrature(family):
    """The KL to Gaussians and Laplaces of many locations and scales: at most 1e-8.

    The corner of p lies half standard deviations of q away, where quadrature has an edge. Caught:
    half of the variance.
    """
    head = vi.DiagonalLaplace(1)
    q = head(torch.randn(20, 2))
    halves = torch.arange(-10.0, 10.0)[:, None]
    p = Independent(family(q.mean + 0.5 * halves * q.stddev, torch.rand(20, 1) + 0.5), 1)
    integral = expectation(q, head.support, lambda z: _log_ratio(q, p, z))
    assert (closed_form_kl(q, p) - integral).abs().max() <= 1e-8


def _log_ratio(q, p, z):
    log_q = q.log_prob(z)
    return (log_q - p.log_prob(z)).where(log_q > -700, torch.zeros(()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_extreme_scales(scale, dtype):
    """KL(Laplace(0, b) || N(0, 1)) = b^2 - 1 + log(pi / 2) / 2 - log b: relative 1e-6 and 1e-12.

    Caught: torch's own formula, the logarithm of a squared ratio (inf at 1e-30).
    """
    if scale == 1e30 and dtype == torch.float32:
        return  # its square is no float
    params = torch.tensor([0.0, math.log(scale)], dtype=dtype)
    kl = closed_form_kl(vi.DiagonalLaplace(1)(params), vi.StandardNormal(1).to(dtype)())
    exact = scale**2 - 1 + math.log(math.pi / 2) / 2 - math.log(scale)
    assert kl.item() == pytest.approx(exact, rel=1e-12 if dtype == torch.float64 else 1e-6)


def test_gradcheck_of_the_kl():
    """Gradients of the KL agree with finite differences."""
    head, p = vi.DiagonalLaplace(3), vi.StandardNormal(3)()
    params = torch.randn(4, 6, requires_grad=True)
    assert gradcheck(lambda params: closed_form_kl(head(params), p), (params,))


def test_refuses_no_dimensions():
    with pytest.raises(vi.ConfigurationError, match="latent_dim must be greater than 0"):
        vi.DiagonalLaplace(0)

"""KL(q || p): closed forms against quadrature and torch, also at extreme scales."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    StudentT,
)

import vi
from tests.laws.conftest import POSTERIORS, PRIORS, distribution_of
from vi.distributions.kl import closed_form_kl
from vi.distributions.protocols import StandIn
from vi.distributions.support import support_name
from vi.testing.quadrature import dimensions, expectation


def _pair(posterior: str, prior: str, dim: int):
    """Return a head, a q of it and a p, or None if their supports differ."""
    head = POSTERIORS[posterior](dim)
    if support_name(head.support) != support_name(PRIORS[prior](2).support):
        return None  # not every prior comes in all sizes
    return head, head(torch.randn(3, *head.out_shape)), distribution_of(PRIORS[prior](dim))


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_closed_form_against_quadrature(posterior, prior):
    """In two sizes, at most 1e-8; a pair without a closed form is an error that names an estimate.

    Caught: KL(p || q); the mean over the event.
    """
    for dim in dimensions(POSTERIORS[posterior](2).support):
        pair = _pair(posterior, prior, dim)
        if pair is None:
            continue
        head, q, p = pair
        kl = _closed_form(q, p)
        if kl is None:
            continue
        scored = q.discrete if isinstance(q, StandIn) else q
        integral = expectation(scored, head.support, lambda z: _log_ratio(scored, p, z))  # noqa: B023
        assert kl.shape == (3,)
        assert (kl - integral).abs().max() <= 1e-8


def _closed_form(q: Distribution, p: Distribution) -> Tensor | None:
    """Return the KL, or None if the error names the bound that estimates it."""
    try:
        return closed_form_kl(q, p)
    except vi.ConfigurationError as error:
        if "bound=elbo_log_weight" in error.hint:
            return None
        raise


def _log_ratio(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """Return log q - log p, 0 where q rounds to 0."""
    log_q = q.log_prob(z)
    return (log_q - p.log_prob(z)).where(log_q > -700, torch.zeros(()))


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_closed_form_in_single_precision(posterior, prior):
    """float32 agrees with float64 for ordinary and extreme q: at most 1e-5 relative."""
    p, head = PRIORS[prior](3), POSTERIORS[posterior](3)
    if support_name(head.support) != support_name(p.support):
        return
    for stretch in (1.0, 10.0):
        params = stretch * torch.randn(20, *head.out_shape)
        values = []
        for dtype in (torch.float64, torch.float32):
            q = head.to(dtype)(params.to(dtype))
            values.append(_closed_form(q, distribution_of(p.to(dtype), dtype)))
            if values[-1] is None:
                return
        scale = values[0].abs().clamp_min(1.0)
        assert ((values[1].double() - values[0]) / scale).abs().max() <= 1e-5


def test_against_full_covariance_in_torch():
    """Five dimensions, summed over the event: at most 1e-12. Caught: the mean over the event."""
    for name in ("diagonal_gaussian", "full_gaussian"):
        head = POSTERIORS[name](5)
        q, p = head(torch.randn(20, *head.out_shape)), vi.StandardNormal(5)()
        reference = torch.distributions.kl_divergence(_full(q), _full(p))
        assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12 * reference.max()


def _full(d: Distribution) -> MultivariateNormal:
    tril = d.scale_tril if isinstance(d, MultivariateNormal) else d.stddev.diag_embed()
    return MultivariateNormal(d.mean, scale_tril=tril)


def _gaussian(batch: tuple[int, ...], *, full: bool, dim: int) -> Distribution:
    loc, scale = torch.randn(*batch, dim), torch.rand(*batch, dim) + 0.5
    if not full:
        return Independent(Normal(loc, scale), 1)
    below = torch.randn(*batch, dim, dim).tril(-1)
    return MultivariateNormal(loc, scale_tril=below + scale.diag_embed())


@pytest.mark.parametrize("full", [True, False], ids=["full to diagonal", "diagonal to full"])
@pytest.mark.parametrize("batch", [(), (20,)], ids=["one p", "a p for each q"])
def test_between_full_and_diagonal_gaussians(full, batch):
    """Five dimensions, both ways, against torch with two full Gaussians: at most 1e-12.

    Caught: A transposed (L' S^-1), Z left out, the determinant of one side only.
    """
    q, p = _gaussian((20,), full=full, dim=5), _gaussian(batch, full=not full, dim=5)
    reference = torch.distributions.kl_divergence(_full(q), _full(p))
    assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12 * reference.max()


@pytest.mark.parametrize("full", [True, False], ids=["full to diagonal", "diagonal to full"])
def test_of_one_q_to_several_p(full):
    """One q broadcasts to several p. Caught: a q that needs as many rows as p."""
    q, p = _gaussian((), full=full, dim=3), _gaussian((5,), full=not full, dim=3)
    reference = torch.distributions.kl_divergence(_full(q), _full(p))
    assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12 * reference.max()


@pytest.mark.parametrize("full", [True, False], ids=["full to diagonal", "diagonal to full"])
def test_between_full_and_diagonal_gaussians_against_quadrature(full):
    """Two dimensions, trapezoid over 12 sd: at most 1e-8. Caught: KL(p || q)."""
    q, p = _gaussian((1,), full=full, dim=2), _gaussian((), full=not full, dim=2)
    line = torch.linspace(-12, 12, 601)
    z = q.mean + q.stddev * torch.cartesian_prod(line, line)[:, None]
    cell = q.stddev.prod() * (line[1] - line[0]) ** 2
    log_q = q.log_prob(z)
    integral = (log_q.exp() * (log_q - p.log_prob(z))).sum(0) * cell
    assert (closed_form_kl(q, p) - integral).abs().max() <= 1e-8


@pytest.mark.parametrize("shape_of_p", [(), (2,), (3, 2), (4, 3, 2)])
def test_between_gaussians_has_gradients_of_two_orders(shape_of_p):
    """First and second derivatives in q and in p, whichever is larger.

    Caught: a gradient in the larger's shape.
    """
    of_q, of_p = torch.randn(2, 3, 2), torch.randn(2, *shape_of_p)

    def kl(m_q: Tensor, log_s_q: Tensor, m_p: Tensor, log_s_p: Tensor) -> Tensor:
        return closed_form_kl(Normal(m_q, log_s_q.exp()), Normal(m_p, log_s_p.exp()))

    arguments = [a.clone().requires_grad_() for a in (*of_q, *of_p)]
    assert torch.autograd.gradcheck(kl, arguments)
    assert torch.autograd.gradgradcheck(kl, arguments)


def test_of_equal_distributions_is_zero():
    p = vi.StandardNormal(4)()
    assert closed_form_kl(p, p).abs().max() <= 1e-15


@pytest.mark.parametrize("make_posterior", [vi.DiagonalGaussian, vi.FullGaussian])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_extreme_scales(make_posterior, scale):
    """KL(N(0, s) || N(0, 1)) = (s^2 - 1) / 2 - log s, relative error at most 1e-12."""
    params = torch.tensor([[0.0, math.log(scale)]])
    kl = closed_form_kl(make_posterior(1)(params), vi.StandardNormal(1)())
    assert kl.item() == pytest.approx((scale**2 - 1) / 2 - math.log(scale), rel=1e-12)


@pytest.mark.parametrize("make_posterior", [vi.DiagonalGaussian, vi.FullGaussian])
@pytest.mark.parametrize("scale", [1e-22, 1e-30])
def test_extreme_scales_in_single_precision(make_posterior, scale):
    """The precision of training: finite to 1e-30, relative error at most 1e-6.

    Caught: torch's own formula, the logarithm of a squared ratio (inf at 1e-30).
    """
    params = torch.tensor([[0.0, math.log(scale)]], dtype=torch.float32)
    kl = closed_form_kl(make_posterior(1)(params), vi.StandardNormal(1).float()())
    assert kl.item() == pytest.approx(-0.5 - math.log(scale), rel=1e-6)


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_a_ratio_of_scales_beyond_single_precision(family):
    """KL(q of scale 1e-30 || N(0, 1e30)) to 1e-6. Caught: the logarithm of the ratio, inf."""
    q = family(*torch.tensor([0.0, 1e-30], dtype=torch.float32))
    constant = {Normal: -0.5, Laplace: 0.5 * math.log(math.pi / 2) - 1}[family]
    p = Normal(*torch.tensor([0.0, 1e30], dtype=torch.float32))
    kl = closed_form_kl(q, p)
    assert kl.item() == pytest.approx(60 * math.log(10) + constant, rel=1e-6)


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
    """A pair without closed form is a ConfigurationError. Caught: torch's NotImplementedError."""
    with pytest.raises(vi.ConfigurationError, match=name) as refusal:
        closed_form_kl(q, p)
    assert "bound=elbo_log_weight" in refusal.value.hint

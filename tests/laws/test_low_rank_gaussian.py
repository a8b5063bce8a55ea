"""The low-rank posterior and its distribution: laws beyond those of every posterior."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

import vi
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.distributions.low_rank_normal import LowRankNormal


def _low_rank(*batch: int, dim: int = 5, rank: int = 2, size: float = 1.0) -> LowRankNormal:
    scale = torch.rand(*batch, dim) + 0.5
    return LowRankNormal(torch.randn(*batch, dim), scale, size * torch.randn(*batch, dim, rank))


def _diagonal(*batch: int) -> Distribution:
    return Independent(Normal(torch.randn(*batch, 5), torch.rand(*batch, 5) + 0.5), 1)


def _full(*batch: int) -> MultivariateNormal:
    below = torch.randn(*batch, 5, 5).tril(-1)
    diagonal = (torch.rand(*batch, 5) + 0.5).diag_embed()
    return MultivariateNormal(torch.randn(*batch, 5), scale_tril=below + diagonal)


def _reference(q: Distribution) -> MultivariateNormal:
    """Return the same Gaussian by its Z x Z covariance."""
    if isinstance(q, MultivariateNormal):
        return q
    if isinstance(q, LowRankNormal):
        return MultivariateNormal(q.loc, q.covariance_matrix)
    return MultivariateNormal(q.mean, scale_tril=q.stddev.diag_embed())


def test_is_what_torch_calls_low_rank():
    """log q, entropy and moments equal torch's for W W' + D with W = S U: at most 1e-12.

    Caught: the capacitance without its identity; its log-determinant twice.
    """
    q = _low_rank(20)
    w = q.scale[..., None] * q.factor
    theirs = LowRankMultivariateNormal(q.loc, w, q.scale.square())
    z = torch.randn(9, 20, 5)
    for ours, other in (
        (q.log_prob(z), theirs.log_prob(z)),
        (q.entropy(), theirs.entropy()),
        (q.variance, theirs.variance),
        (q.covariance_matrix, theirs.covariance_matrix),
    ):
        assert torch.allclose(ours, other, rtol=1e-12, atol=1e-12)


PAIRS = {
    "to diagonal": (_low_rank, _diagonal),
    "from diagonal": (_diagonal, _low_rank),
    "to full": (_low_rank, _full),
    "from full": (_full, _low_rank),
    "to low rank": (_low_rank, _low_rank),
}


@pytest.mark.parametrize("batch", [(), (20,)], ids=["one p", "a p for each q"])
@pytest.mark.parametrize("pair", PAIRS)
def test_kl_in_every_direction(pair, batch):
    """The KL in five dimensions equals torch's between two full Gaussians: at most 1e-12.

    Caught: one of the two ratios of scales; the residual of q in place of that of p.
    """
    make_q, make_p = PAIRS[pair]
    q, p = make_q(20), make_p(*batch)
    reference = kl_divergence(_reference(q), _reference(p))
    kl = closed_form_kl(q, p)
    assert kl.shape == (20,)
    assert (kl - reference).abs().max() <= 1e-12 * reference.max()


@pytest.mark.parametrize("pair", PAIRS)
def test_kl_of_one_q_to_many_p(pair):
    """Batches of q and p broadcast: at most 1e-12."""
    make_q, make_p = PAIRS[pair]
    q, p = make_q(), make_p(20)
    reference = kl_divergence(_reference(q), _reference(p))
    assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12 * reference.max()


def test_kl_to_itself_is_zero():
    q = _low_rank(20, size=30.0)
    assert closed_form_kl(q, q).abs().max() <= 1e-10


@pytest.mark.parametrize("p", [Independent(Laplace(torch.zeros(5), 1.0), 1)])
def test_refuses_by_name(p):
    """Pairs without closed form are refused both ways. Caught: a Laplace taken for a Normal."""
    for one, other in ((_low_rank(3), p), (p, _low_rank(3))):
        with pytest.raises(vi.ConfigurationError, match="LowRankNormal") as refusal:
            closed_form_kl(one, other)
        assert "bound=elbo_log_weight" in refusal.value.hint


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(scale):
    """log q, entropy and KL at scales 1e+-30 equal the closed form without directions: 1e-12.

    With directions they equal those of a standardised q.
    """
    p = vi.StandardNormal(5)()
    plain = LowRankNormal(torch.zeros(5), torch.full((5,), scale), torch.zeros(5, 2))
    kl = 5 * ((scale**2 - 1) / 2 - math.log(scale))
    assert closed_form_kl(plain, p).item() == pytest.approx(kl, rel=1e-12)
    q = _low_rank(20, size=10.0)
    scaled = LowRankNormal(scale * q.loc, scale * q.scale, q.factor)
    z, shift = torch.randn(9, 20, 5), 5 * math.log(scale)
    assert torch.allclose(scaled.log_prob(scale * z), q.log_prob(z) - shift, rtol=1e-12)
    assert torch.allclose(scaled.entropy(), q.entropy() + shift, rtol=1e-12)
    assert closed_form_kl(scaled, p).isfinite().all()


def test_single_precision_with_scales_far_apart():
    """float32 agrees with float64, scales from 1e-10 to 1e10 and long directions: 1e-5 relative.

    Caught: log q as |y|^2 - |A y|^2, which loses all digits along a long direction.
    """
    loc, factor, y = torch.randn(50, 5), 30 * torch.randn(50, 5, 3), 30 * torch.randn(50, 5)
    scale = 10 ** (20 * torch.rand(50, 5) - 10)
    along = factor.sum(-1) + torch.randn(50, 5)
    inputs = [t.float() for t in (loc, scale, factor, y, along)]
    values = []
    for dtype in (torch.float64, torch.float32):
        m, s, u, *lengths = (t.to(dtype) for t in inputs)
        q = LowRankNormal(m, s, u)
        values.append((q.half_log_det, *map(q.squared_length, lengths)))
    for exact, single in zip(*values, strict=True):
        assert ((single.double() - exact) / exact.abs().clamp_min(1.0)).abs().max() <= 1e-5


def test_kl_to_long_directions_in_single_precision():
    """The KL to a p whose directions are 1e4 times its noise: at most 1e-5 relative.

    Caught: the residual as 1 minus the directions' part, which cancels to nothing.
    """
    factor = 1e4 * (torch.eye(5) + 0.1 * torch.randn(20, 5, 5))
    scale = torch.rand(20, 5) + 0.5
    kls = []
    for dtype in (torch.float64, torch.float32):
        u, s, zero = factor.to(dtype), scale.to(dtype), torch.zeros_like(scale, dtype=dtype)
        q = Independent(Normal(zero, 1e4 * s), 1)
        kls.append(closed_form_kl(q, LowRankNormal(zero, s, u)))
    exact, single = kls
    assert ((single - exact) / exact.clamp_min(1.0)).abs().max() <= 1e-5


def test_one_pass_is_the_same_as_two():
    """``rsample_and_log_prob`` returns log q of its draw with the same total gradient: 1e-10.

    Caught: log q of the noise alone, without the directions; a draw without s.
    """
    head = vi.LowRankGaussian(3, rank=2)
    params = torch.randn(4, *head.out_shape, requires_grad=True)
    z, log_q = head(params).rsample_and_log_prob((7,))
    assert torch.allclose(log_q, head(params).log_prob(z), rtol=1e-10)
    of_one, of_two = (
        torch.autograd.grad(value.sum(), params, retain_graph=True)[0]
        for value in (log_q, head(params).log_prob(z))
    )
    assert torch.allclose(of_one, of_two, rtol=1e-8, atol=1e-10)


def test_what_was_made_without_a_graph_has_one_later():
    """log q after draws without a gradient, as in wake-sleep, has the gradient of a new q.

    Caught: a Cholesky factor kept from within no_grad.
    """
    head, z = vi.LowRankGaussian(3, rank=2), torch.randn(4, 3)
    params = torch.randn(4, *head.out_shape, requires_grad=True)
    seen, fresh = head(params), head(params)
    with torch.no_grad():
        draw(seen, 2).log_q  # noqa: B018, computed where it is asked for
    one, other = (torch.autograd.grad(q.log_prob(z).sum(), params)[0] for q in (seen, fresh))
    assert torch.equal(one, other)


def test_no_directions_is_the_diagonal_gaussian():
    """With U = 0 density, entropy and KL are those of the diagonal Gaussian: at most 1e-12."""
    params, z = torch.randn(20, 6), torch.randn(9, 20, 3)
    low_rank = vi.LowRankGaussian(3, rank=2)(torch.cat([params, torch.zeros(20, 6)], -1))
    diagonal, p = vi.DiagonalGaussian(3)(params), vi.StandardNormal(3)()
    pairs: list[tuple[Tensor, Tensor]] = [
        (low_rank.log_prob(z), diagonal.log_prob(z)),
        (low_rank.entropy(), diagonal.entropy()),
        (closed_form_kl(low_rank, p), closed_form_kl(diagonal, p)),
    ]
    for one, other in pairs:
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_gradcheck_of_a_draw_and_of_the_kl():
    """Gradients of a draw and of the KL agree with finite differences. Caught: a detached U."""
    head, p = vi.LowRankGaussian(3, rank=2), vi.StandardNormal(3)()
    params = torch.randn(4, *head.out_shape, requires_grad=True)

    def drawn(params):
        torch.manual_seed(3)
        return head(params).rsample_and_log_prob((2,))

    assert gradcheck(drawn, (params,))
    assert gradcheck(lambda params: closed_form_kl(head(params), p), (params,))


def test_noise_of_a_datum_is_its_own():
    """A datum draws the same alone and in a batch, bit for bit."""
    head = vi.LowRankGaussian(3, rank=2)
    params = torch.randn(4, *head.out_shape)
    with datum_noise(0, [0, 1, 2, 3]):
        z = draw(head(params), 5).z
    with datum_noise(0, [2]):
        alone = draw(head(params[2:3]), 5).z
    assert torch.equal(z[:, 2:3], alone)


def test_refuses_no_directions():
    with pytest.raises(vi.ConfigurationError, match="rank must be greater than 0"):
        vi.LowRankGaussian(3, rank=0)

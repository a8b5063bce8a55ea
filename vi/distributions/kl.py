"""KL(q || p) and H(q) in closed form, or an error that names what works instead."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    kl_divergence,
)

from vi.distributions.normal import UnitNormal
from vi.distributions.protocols import LogScaled
from vi.errors import ConfigurationError

_MINUS_HALF = torch.tensor(-0.5)  # a number would be made a tensor every time


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) = E_q[log q(z) - log p(z)] in nats, summed over the event.

    Args:
        q: Distribution with batch_shape (*batch).
        p: Distribution of the same event; its batch_shape broadcasts.

    Returns:
        (*batch), non-negative up to rounding.

    Raises:
        ConfigurationError: No closed form is registered for this pair.

    >>> import torch
    >>> from torch.distributions import Normal
    >>> closed_form_kl(Normal(torch.tensor(1.0), 1.0), Normal(torch.tensor(0.0), 1.0))
    tensor(0.5000)
    """
    match q, p:
        case Independent(), Independent() if _rank(q) == _rank(p):
            kl = closed_form_kl(q.base_dist, p.base_dist)
            return kl.sum(tuple(range(-_rank(q), 0)))
        case Normal(), Normal():
            return _kl_normal_normal(q, p)
        case Laplace(), Normal():
            return _kl_laplace_normal(q, p)
        case MultivariateNormal(), Independent(base_dist=Normal() as factors) if _rank(p) == 1:
            return _kl_full_diagonal(q, factors)
        case Independent(base_dist=Normal() as factors), MultivariateNormal() if _rank(q) == 1:
            return _kl_diagonal_full(factors, p)
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        raise ConfigurationError(
            f"KL({_name(q)} || {_name(p)}) has no closed form",
            hint="bound=elbo_log_weight estimates it with the samples of the bound",
        ) from None


def closed_form_entropy(q: Distribution) -> Tensor:
    """H(q) = -E_q[log q(z)] in nats, (*batch).

    Raises:
        ConfigurationError: It has no closed form.
    """
    try:
        return q.entropy()
    except NotImplementedError:
        raise ConfigurationError(
            f"the entropy of {_name(q)} has no closed form",
            hint="bound=elbo_log_weight estimates it with the samples of the bound",
        ) from None


def _rank(distribution: Independent) -> int:
    return distribution.reinterpreted_batch_ndims


def _kl_normal_normal(q: Normal, p: Normal) -> Tensor:
    """log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2.

    torch takes the logarithm of the squared ratio, which underflows in single precision from a
    ratio of 1e-19 on; the ratio itself does from 1e-45 on.
    """
    return _HalfSquares.apply(*_relative(q, p))


class _HalfSquares(torch.autograd.Function):
    """(r^2 + t^2 - 1) / 2 - log r, in fewer passes over the memory; the gradients are r, t and -1.

    r and log r are arguments of their own, as the logarithm is often what is known.
    """

    @staticmethod
    def forward(ctx: Any, ratio: Tensor, shift: Tensor, log_ratio: Tensor) -> Tensor:
        ctx.save_for_backward(ratio, shift)
        minus = torch.addcmul(log_ratio, ratio, ratio, value=-0.5)
        return _MINUS_HALF - torch.addcmul(minus, shift, shift, value=-0.5)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (g,), (ratio, shift) = grads, ctx.saved_tensors
        return g * ratio, g * shift, -g


def _kl_laplace_normal(q: Laplace, p: Normal) -> Tensor:
    """b^2 / s^2 + (m_q - m_p)^2 / (2 s^2) - log(b / s) + log(pi / 2) / 2 - 1.

    torch takes the logarithm of the squared ratio here too.
    """
    ratio, shift, log_ratio = _relative(q, p)
    constant = 0.5 * math.log(math.pi / 2) - 1
    return ratio.square() + 0.5 * shift.square() - log_ratio + constant


def _relative(q: Normal | Laplace, p: Normal) -> tuple[Tensor, Tensor, Tensor]:
    """s_q / s_p, (m_q - m_p) / s_p and log(s_q / s_p)."""
    if isinstance(p, UnitNormal):
        return q.scale, q.loc, _log_scale(q)
    return q.scale / p.scale, (q.loc - p.loc) / p.scale, _log_scale(q) - _log_scale(p)


def _log_scale(distribution: Normal | Laplace) -> Tensor:
    known = isinstance(distribution, LogScaled)
    return distribution.log_scale if known else distribution.scale.log()


def _kl_full_diagonal(q: MultivariateNormal, p: Normal) -> Tensor:
    """KL(N(m_q, L L') || N(m_p, S^2)), from A = S^-1 L."""
    return _kl_whitened(q.scale_tril / p.scale[..., None], (q.loc - p.loc) / p.scale)


def _kl_diagonal_full(q: Normal, p: MultivariateNormal) -> Tensor:
    """KL(N(m_q, S^2) || N(m_p, L L')), from A = L^-1 S."""
    shift = q.loc - p.loc
    columns = torch.cat([q.scale.expand_as(shift).diag_embed(), shift[..., None]], -1)
    whitened = torch.linalg.solve_triangular(p.scale_tril, columns, upper=False)
    return _kl_whitened(whitened[..., :-1], whitened[..., -1])


def _kl_whitened(tril: Tensor, shift: Tensor) -> Tensor:
    """KL(N(b, A A') || N(0, I)) = (|A|^2 + |b|^2 - Z) / 2 - log det A, A lower triangular."""
    squares = tril.square().sum((-2, -1)) + shift.square().sum(-1)
    log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (squares - shift.shape[-1]) - log_det


def _name(distribution: Distribution) -> str:
    name = type(distribution).__name__
    if isinstance(distribution, Independent | TransformedDistribution):
        return f"{name}({type(distribution.base_dist).__name__})"
    return name

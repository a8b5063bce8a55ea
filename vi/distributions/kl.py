"""KL divergences and entropies in closed form, or an error that says what works instead."""

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

_MINUS_HALF = torch.tensor(-0.5)  # a tensor, because torch would convert a number at each call


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor:
    """Return KL(q || p) = E_q[log q(z) - log p(z)] in nats, summed over the event.

    Pairs that torch lacks, or whose formula in torch overflows or underflows in single precision,
    have a formula here; all others use torch's registry.

    Args:
        q: Distribution with batch_shape (*batch).
        p: Distribution with the same event shape; its batch_shape broadcasts.

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
    """Return H(q) = -E_q[log q(z)] in nats, (*batch).

    Raises:
        ConfigurationError: The entropy of q has no closed form.

    >>> from torch.distributions import Normal
    >>> closed_form_entropy(Normal(torch.tensor(0.0), 1.0))
    tensor(1.4189)
    """
    try:
        return q.entropy()
    except NotImplementedError:
        raise ConfigurationError(
            f"the entropy of {_name(q)} has no closed form",
            hint="bound=elbo_log_weight estimates it with the samples of the bound",
        ) from None


def _rank(distribution: Independent) -> int:
    """Return the number of event axes that ``Independent`` adds."""
    return distribution.reinterpreted_batch_ndims


def _kl_normal_normal(q: Normal, p: Normal) -> Tensor:
    """Return log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2.

    torch takes the logarithm of the squared ratio, which underflows in single precision if the
    ratio is below 1e-19; the ratio itself underflows only below 1e-45.
    """
    return _HalfSquares.apply(*_relative(q, p))


class _HalfSquares(torch.autograd.Function):
    """(r^2 + t^2 - 1) / 2 - log r in few passes over memory; the gradients are r, t and -1.

    r and log r are separate arguments because log r is often already known.
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
    """Return b^2 / s^2 + (m_q - m_p)^2 / (2 s^2) - log(b / s) + log(pi / 2) / 2 - 1.

    torch takes the logarithm of the squared ratio here too, which underflows.
    """
    ratio, shift, log_ratio = _relative(q, p)
    constant = 0.5 * math.log(math.pi / 2) - 1
    return ratio.square() + 0.5 * shift.square() - log_ratio + constant


def _relative(q: Normal | Laplace, p: Normal) -> tuple[Tensor, Tensor, Tensor]:
    """Return s_q / s_p, (m_q - m_p) / s_p and log(s_q / s_p)."""
    if isinstance(p, UnitNormal):
        return q.scale, q.loc, _log_scale(q)
    return q.scale / p.scale, (q.loc - p.loc) / p.scale, _log_scale(q) - _log_scale(p)


def _log_scale(distribution: Normal | Laplace) -> Tensor:
    """Return log s, without a logarithm if the distribution stores it."""
    known = isinstance(distribution, LogScaled)
    return distribution.log_scale if known else distribution.scale.log()


def _kl_full_diagonal(q: MultivariateNormal, p: Normal) -> Tensor:
    """Return KL(N(m_q, L L') || N(m_p, S^2)) from A = S^-1 L."""
    return _kl_whitened(q.scale_tril / p.scale[..., None], (q.loc - p.loc) / p.scale)


def _kl_diagonal_full(q: Normal, p: MultivariateNormal) -> Tensor:
    """Return KL(N(m_q, S^2) || N(m_p, L L')) from A = L^-1 S."""
    shift = q.loc - p.loc
    columns = torch.cat([q.scale.expand_as(shift).diag_embed(), shift[..., None]], -1)
    whitened = torch.linalg.solve_triangular(p.scale_tril, columns, upper=False)
    return _kl_whitened(whitened[..., :-1], whitened[..., -1])


def _kl_whitened(tril: Tensor, shift: Tensor) -> Tensor:
    """Return KL(N(b, A A') || N(0, I)) = (|A|^2 + |b|^2 - Z) / 2 - log det A for triangular A."""
    squares = tril.square().sum((-2, -1)) + shift.square().sum(-1)
    log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (squares - shift.shape[-1]) - log_det


def _name(distribution: Distribution) -> str:
    """Return the name of a distribution for messages, with that of its base distribution."""
    name = type(distribution).__name__
    if isinstance(distribution, Independent | TransformedDistribution):
        return f"{name}({type(distribution.base_dist).__name__})"
    return name

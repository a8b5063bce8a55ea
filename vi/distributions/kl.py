"""KL(q || p) in closed form, or an error that names what works instead."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from vi.errors import ConfigurationError


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
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        raise ConfigurationError(
            f"KL({_name(q)} || {_name(p)}) has no closed form",
            hint="bound=elbo_log_weight estimates it with the samples of the bound",
        ) from None


def _rank(distribution: Independent) -> int:
    return distribution.reinterpreted_batch_ndims


def _kl_normal_normal(q: Normal, p: Normal) -> Tensor:
    """log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2.

    torch takes the logarithm of the squared ratio, which underflows in single precision from a
    ratio of 1e-19 on.
    """
    ratio = q.scale / p.scale
    shift = (q.loc - p.loc) / p.scale
    return 0.5 * (ratio.square() + shift.square() - 1) - ratio.log()


def _name(distribution: Distribution) -> str:
    base = getattr(distribution, "base_dist", None)
    name = type(distribution).__name__
    return name if base is None else f"{name}({type(base).__name__})"

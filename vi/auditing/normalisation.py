"""Proofs that a distribution sums or integrates to 1, by what it is made of."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions.constraints import Constraint

from vi.auditing.entries import Entries, Vectors, entries_of, support_of, unwrapped
from vi.auditing.ratios import Total, mean_of_ratios
from vi.distributions.chain import Chain
from vi.distributions.flow import FlowDistribution
from vi.distributions.mixture import FiniteMixture
from vi.distributions.protocols import Autoregressive, Piecewise
from vi.errors import ConfigurationError
from vi.testing.quadrature import expectation, kind

_EXACT, _CORNERS = 1e-3, 1e-2  # nats
_STATES = 1 << 16  # that are summed over
_ENTRIES = 64  # of a datum, evenly spread, whose values are summed over
_DRAWS = 8
_PLANE, _BALL = 2, 3  # dimensions up to which a density, or one on a sphere, is integrated


def total(p: Distribution, support: Constraint | None = None) -> Total:
    """Return how far p is from a sum or an integral of 1, by the sharpest method that applies.

    Args:
        p: The distribution, with any batch_shape.
        support: Support of an entry or of the whole event, if p does not say it.

    Raises:
        ConfigurationError: No method applies.
    """
    p = unwrapped(p)
    for kinds, method in _BY_PARTS:
        if isinstance(p, kinds):
            return method(p, support)
    return _whole(p, support_of(p, support))


def _worst(totals: list[Total]) -> Total:
    """Return the one that is the farthest off, in units of its tolerance."""
    return max(totals, key=lambda t: math.inf if math.isnan(t.off) else t.off / t.tolerance)


def _agreement(a: Tensor, b: Tensor, how: str) -> Total:
    """Compare two ways to compute one log-density, up to rounding."""
    size = 1 + torch.maximum(a.abs(), b.abs())
    off = ((a - b).abs() / size).max().item()
    return Total(off, 1e-4 if a.dtype == torch.float32 else 1e-7, how)


def _independent(p: Independent, support: Constraint | None) -> Total:
    """log p is the sum over entries, and each entry has a total of 1."""
    base, rank = p.base_dist, p.reinterpreted_batch_ndims
    x = p.sample((_DRAWS,))
    terms = base.log_prob(x)
    summed = terms.flatten(-rank).sum(-1) if rank else terms
    same = _agreement(p.log_prob(x), summed, "log p is not the sum over its entries")
    if same.off > same.tolerance:
        return same
    inner = total(base, support)
    return inner._replace(how=f"{inner.how}, entry by entry")


def _mixture(p: FiniteMixture, support: Constraint | None) -> Total:
    """log p is that of the weighted components, whose weights sum to 1."""
    x = p.sample((_DRAWS,))
    rank = len(p.event_shape)
    wide = x.unsqueeze(-1 - rank)
    lead = (*wide.shape[: wide.ndim - rank - 1], *p.log_weights.shape[-1:])
    each = p.components.log_prob(wide.expand(*lead, *p.event_shape))
    mixed = (p.log_weights + each).logsumexp(-1)
    same = _agreement(p.log_prob(x), mixed, "log p is not that of the mixture")
    weights = Total(p.log_weights.logsumexp(-1).abs().max().item(), _EXACT, "sum of the weights")
    inner = total(p.components, support)
    return _worst([same, weights, inner._replace(how=f"{inner.how}, by components")])


def _chain(p: Chain, support: Constraint | None) -> Total:
    """log p is the sum over layers, and each layer has a total of 1 given those before it."""
    z = p.sample((_DRAWS,))
    layers = p.conditionals(z)
    parts = zip(layers, z.split(p.sizes, -1), strict=True)
    summed = torch.stack(torch.broadcast_tensors(*(q.log_prob(part) for q, part in parts))).sum(0)
    same = _agreement(p.log_prob(z), summed, "log p is not the sum over its layers")
    inner = _worst([total(layer, support) for layer in layers])
    return _worst([same, inner._replace(how=f"{inner.how}, layer by layer")])


def _flow(p: FlowDistribution, support: Constraint | None) -> Total:
    """log p is log N(e; 0, I) with the determinant that automatic differentiation gives."""
    del support
    z = p.sample((_DRAWS,))
    place = lambda value: (value - p.loc) * (-p.log_scale).exp()
    noise, jacobian = jacobian_of(lambda value: p.transform.inv(place(value)), z)  # pyright: ignore
    squares = noise.double().square().sum(-1)
    log_normal = -0.5 * (squares + z.shape[-1] * math.log(2 * math.pi))
    by_autograd = log_normal + torch.linalg.slogdet(jacobian.double()).logabsdet
    off = (p.log_prob(z).double() - by_autograd).abs().max().item()
    corners = isinstance(p, Piecewise) and p.piecewise
    return Total(off, _CORNERS if corners else 2 * _EXACT, "its Jacobian by differentiation")


def jacobian_of(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(x) and dy/dx of each row, (.., D, D), for a map of vectors (.., D)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = f(x)
        rows = [
            torch.autograd.grad(one, x, retain_graph=True)[0] for one in y.flatten(0, -2).sum(0)
        ]
    return y.detach(), torch.stack(rows, -2)


def _autoregressive(p: Distribution, support: Constraint | None) -> Total:
    """Each term sums to 1 over the values of its own entry, and log p is their sum."""
    entries, support = entries_of(p), support_of(p, support)
    assert entries is not None  # of an Autoregressive
    x = p.sample((_DRAWS,))
    rank = len(p.event_shape)
    summed = entries.log_prob(x).flatten(-rank).sum(-1)
    same = _agreement(p.log_prob(x), summed, "log p is not the sum over its entries")
    if support is None or not support.is_discrete:
        raise ConfigurationError("the terms of continuous entries are not integrated", hint="-")
    return _worst([same, _by_values(entries, x[0], values_of(p, support))])


def _by_values(entries: Entries, x: Tensor, values: Tensor) -> Total:
    """Sum each term over the values of its own entry."""
    size = entries.whole.event_shape.numel()
    rank, worst = len(entries.whole.event_shape), 0.0
    for d in torch.arange(min(_ENTRIES, size)) * size // min(_ENTRIES, size):
        some = x.flatten(-rank).expand(len(values), *x.flatten(-rank).shape).clone()
        some[..., d] = values.view(-1, *[1] * (some.ndim - 2))
        log_p = entries.log_prob(some.view(len(values), *x.shape)).flatten(-rank)[..., d]
        worst = max(worst, log_p.logsumexp(0).abs().max().item())
    return Total(worst, _EXACT, "sum over the values of an entry given those before it")


def values_of(p: Distribution, support: Constraint) -> Tensor:
    """Return the values of one discrete entry.

    Raises:
        ConfigurationError: They are not known, or too many.
    """
    known: dict[str, Callable[[], Tensor]] = {
        "Boolean": lambda: torch.tensor([0.0, 1.0]),
        "Grid": lambda: torch.arange(float(support.num)) / support.levels,  # pyright: ignore
        "IntegerGreaterThan": lambda: torch.arange(
            float(min(int((p.mean + 60 * p.stddev).max()) + 60, _STATES))
        ),
    }
    if kind(support) not in known:
        raise ConfigurationError(f"the values of {kind(support)} are not listed", hint="-")
    return known[kind(support)]()


def _whole(p: Distribution, support: Constraint | None) -> Total:
    """Sum over the states, integrate in few dimensions, or compare with a known density."""
    states = states_of(p, support)
    if states is not None:
        log_p = p.log_prob(states.view(-1, *[1] * len(p.batch_shape), *p.event_shape))
        off = log_p.double().logsumexp(0).abs().max().item()
        return Total(off, _EXACT, f"sum over {len(states)} states")
    if support is not None and len(p.event_shape) <= 1:
        most = _BALL if kind(support) == "Sphere" else _PLANE
        if p.event_shape.numel() <= most:
            return _integral(p, support)
    return mean_of_ratios(p, support)


def _integral(p: Distribution, support: Constraint) -> Total:
    """Integrate or sum the density over its support."""
    corners = isinstance(p, Piecewise) and p.piecewise
    off = expectation(Vectors(p), support).double().log().abs().max().item()
    how = "sum over the values" if support.is_discrete else "quadrature"
    return Total(off, _CORNERS if corners else _EXACT, how)


def states_of(p: Distribution, support: Constraint | None) -> Tensor | None:
    """Return all states of a discrete event, (S, *event), if there are at most 2^16."""
    if p.has_enumerate_support:
        states = p.enumerate_support(expand=False)
        return states.reshape(-1, *p.event_shape)
    size = p.event_shape.numel()
    if support is None or kind(support) not in ("Boolean", "Grid") or not p.event_shape:
        return None
    values = values_of(p, support)
    if len(values) ** size > _STATES:
        return None
    return torch.cartesian_prod(*[values] * size).view(-1, *p.event_shape)


_BY_PARTS: list[tuple[type, Callable[..., Total]]] = [
    (Autoregressive, _autoregressive),
    (FiniteMixture, _mixture),
    (Chain, _chain),
    (FlowDistribution, _flow),
    (Independent, _independent),
]

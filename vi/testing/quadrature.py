"""Sums and integrals over everything that a distribution can give."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, transform_to
from torch.distributions.constraints import Constraint

from vi.distributions.protocols import Piecewise

_CHUNK = 1 << 16  # points at once
_NODES = 12  # of each Gauss-Legendre panel

Points = tuple[Tensor, Tensor]


def dimensions(support: Constraint) -> list[int]:
    """The sizes of an event over whose support this file can sum."""
    known = {"OneHot": [2, 4], "Boolean": [1, 4]}
    return known.get(kind(support), [2, 3] if support.event_dim else [1, 2])


def kind(support: Constraint) -> str:
    """The name of a support without its bounds."""
    return type(support).__name__.lstrip("_")


def expectation(
    p: Distribution, support: Constraint, f: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """E_p[f(x)], (*batch), by a sum or an integral over the support; f = 1 if not given.

    Args:
        p: Batch of distributions with one axis of few entries in the event.
        support: Of one entry of the event, or of the event where its entries hang together.
        f: (S, *batch, *event) -> (S, *batch).
    """
    x, weight = _SUPPORTS.get(kind(support), _transformed)(p, support)
    total = torch.zeros(p.batch_shape)
    for points, weights in zip(x.split(_CHUNK), weight.split(_CHUNK), strict=True):
        values = 1.0 if f is None else f(points)
        total = total + (weights * p.log_prob(points).exp() * values).sum(0)
    return total


def _panels(edges: Tensor, num: int = _NODES) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights, so many between each two edges."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(num))
    half = (edges[1:] - edges[:-1])[:, None] / 2
    centre = (edges[1:] + edges[:-1])[:, None] / 2
    return (centre + half * nodes).flatten(), (half * weights).flatten()


def _product(nodes: Tensor, weights: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The same in several dimensions: (S, dim) and (S,)."""
    grid = torch.cartesian_prod(*[nodes] * dim).reshape(-1, dim)
    return grid, torch.cartesian_prod(*[weights] * dim).reshape(-1, dim).prod(-1)


def _real(p: Distribution, support: Constraint) -> Points:
    """Panels of half a standard deviation, with a corner at the mean, and tails to 1e8 of them.

    In a plane of a whole one, for there are many; with corners elsewhere, of a lower order.
    """
    if hasattr(p, "components"):
        return _mixture(p)
    (dim,) = p.event_shape
    tail = 16 * 4 ** torch.arange(12.0)
    corners = isinstance(p, Piecewise) and p.piecewise
    width = 0.5 if corners or dim == 1 else 1.0
    edges = torch.cat([-tail.flip(0), torch.arange(width - 16, 16, width), tail])
    grid, weight = _product(*_panels(edges, 3 if corners else _NODES), dim)
    shape = (-1, *[1] * len(p.batch_shape))
    x = p.mean.detach() + p.stddev.detach() * grid.reshape(*shape, dim)
    return x, weight.reshape(shape) * p.stddev.detach().prod(-1)


def _mixture(p: Distribution) -> Points:
    """Around every component of a mixture, with its share of the density as partition of unity."""
    c: Distribution = p.components  # pyright: ignore[reportAttributeAccessIssue]
    grid, weight = _product(*_panels(torch.arange(-12.0, 13.0)), p.event_shape[0])
    mean, sd = (t.detach().movedim(-2, 0) for t in (c.mean, c.stddev))
    shape = (-1, *[1] * (mean.ndim - 1))
    x = mean + sd * grid.reshape(*shape, grid.shape[-1])  # (S, C, *batch, D)
    with torch.no_grad():
        log_joint = p.log_weights + c.log_prob(x.unsqueeze(-2))  # pyright: ignore
        share = log_joint.softmax(-1).diagonal(dim1=1, dim2=-1).movedim(-1, 1)
    weight = weight.reshape(shape) * sd.prod(-1) * share
    return x.flatten(0, 1), weight.flatten(0, 1)


def _transformed(p: Distribution, support: Constraint) -> Points:
    """All real numbers, through torch's transform: panels that crowd towards the ends."""
    to_support = transform_to(support)
    (dim,) = to_support.inverse_shape(p.event_shape)
    tail = torch.arange(48.0, 181, 12)
    edges = torch.cat([-tail.flip(0), torch.arange(-36.0, 37.0), tail])
    real, weight = _product(*_panels(edges), dim)
    x = to_support(real)
    log_slope = to_support.log_abs_det_jacobian(real, x)  # of an entry, or of the whole event
    log_slope = log_slope.sum(-1) if log_slope.ndim == real.ndim else log_slope
    return _for_each(x, weight * log_slope.exp(), p)


def _states(values: Tensor, p: Distribution) -> Points:
    """Every combination of these values in the entries of the event."""
    (dim,) = p.event_shape
    grid, weight = _product(values, torch.ones_like(values), dim)
    return _for_each(grid, weight, p)


def _for_each(x: Tensor, weight: Tensor, p: Distribution) -> Points:
    """The same points (S, D) and weights (S,) for every distribution of the batch."""
    shape = (-1, *[1] * len(p.batch_shape))
    points = x.reshape(*shape, x.shape[-1]).expand(-1, *p.batch_shape, -1)
    return points, weight.reshape(shape).expand(-1, *p.batch_shape)


def _counts(p: Distribution, support: Constraint) -> Points:
    """0, 1, 2, .. far beyond the mean."""
    most = int((p.mean + 60 * p.stddev).max()) + 60
    return _states(torch.arange(float(most + 1)), p)


def _grid(p: Distribution, support: Constraint) -> Points:
    return _states(torch.arange(float(support.num)) / support.levels, p)  # pyright: ignore


def _one_hot(p: Distribution, support: Constraint) -> Points:
    rows = torch.eye(p.event_shape[-1])
    return _for_each(rows, torch.ones(len(rows)), p)


def _sphere(p: Distribution, support: Constraint) -> Points:
    """The circle by the trapezoid rule, the sphere by it and Gauss-Legendre in the height."""
    (dim,) = p.event_shape
    num = 4000 if dim == 2 else 400
    angle = torch.arange(num) * 2 * math.pi / num
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    weight = torch.full((num,), 2 * math.pi / num)
    if dim == 3:
        height, by_height = _panels(torch.linspace(-1, 1, 41))
        radius = (1 - height.square()).sqrt()[:, None, None]
        around = torch.cat([radius * circle, height[:, None, None].expand(-1, num, 1)], -1)
        circle, weight = around.flatten(0, 1), (by_height[:, None] * weight).flatten()
    return _for_each(circle, weight, p)


# What torch has no bijection to the real numbers for, and the real numbers themselves.
_SUPPORTS: dict[str, Callable[[Distribution, Constraint], Points]] = {
    "Real": _real,
    "Boolean": lambda p, support: _states(torch.tensor([0.0, 1.0]), p),
    "IntegerGreaterThan": _counts,
    "Grid": _grid,
    "OneHot": _one_hot,
    "Sphere": _sphere,
}

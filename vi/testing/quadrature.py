"""Expectations under a distribution, by sums and quadrature over its support."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, transform_to
from torch.distributions.constraints import Constraint

from vi.distributions.protocols import Piecewise

_CHUNK = 1 << 16  # points at once
_NODES = 12  # nodes of each Gauss-Legendre panel

Points = tuple[Tensor, Tensor]


def dimensions(support: Constraint) -> list[int]:
    """Return two sizes of an event that are small enough for a sum over the support."""
    known = {"OneHot": [2, 4], "Boolean": [1, 4]}
    return known.get(kind(support), [2, 3] if support.event_dim else [1, 2])


def kind(support: Constraint) -> str:
    """Return the name of a support without its bounds.

    >>> kind(torch.distributions.constraints.boolean)
    'Boolean'
    """
    return type(support).__name__.lstrip("_")


def expectation(
    p: Distribution, support: Constraint, f: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return E_p[f(x)] by a sum or an integral over the support.

    Args:
        p: Batch of distributions whose event has one axis of few entries.
        support: Support of one entry of the event, or of the whole event if entries are coupled.
        f: Function (S, *batch, *event) -> (S, *batch); 1 if not given.

    Returns:
        Expectations (*batch); without f the integral of the density, which should be 1.
    """
    x, weight = _SUPPORTS.get(kind(support), _transformed)(p, support)
    total = torch.zeros(p.batch_shape)
    for points, weights in zip(x.split(_CHUNK), weight.split(_CHUNK), strict=True):
        points, weights = _where_it_lives(p, points, weights)
        values = 1.0 if f is None else f(points)
        total = total + (weights * p.log_prob(points).exp() * values).sum(0)
    return total


@torch.no_grad()
def _where_it_lives(p: Distribution, points: Tensor, weights: Tensor) -> Points:
    """Return the points, those of density 0 replaced by another one with weight 0.

    In the far tails a density underflows, and its gradient may be 0 times infinity.
    """
    alive = p.log_prob(points).exp() > 0
    if alive.all():
        return points, weights
    first = alive.int().argmax(0).expand(1, *p.batch_shape)[..., None]
    other = points.gather(0, first.expand(1, *points.shape[1:]))
    return points.where(alive[..., None], other), weights.expand(alive.shape).where(alive, 0.0)


def _panels(edges: Tensor, num: int = _NODES) -> tuple[Tensor, Tensor]:
    """Return Gauss-Legendre nodes and weights, ``num`` of them between neighbouring edges."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(num))
    half = (edges[1:] - edges[:-1])[:, None] / 2
    centre = (edges[1:] + edges[:-1])[:, None] / 2
    return (centre + half * nodes).flatten(), (half * weights).flatten()


def _product(nodes: Tensor, weights: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the product rule in ``dim`` dimensions: nodes (S, dim) and weights (S,)."""
    grid = torch.cartesian_prod(*[nodes] * dim).reshape(-1, dim)
    return grid, torch.cartesian_prod(*[weights] * dim).reshape(-1, dim).prod(-1)


def _real(p: Distribution, support: Constraint) -> Points:
    """Return panels around the mean, with an edge at the mean and tails to about 7e7 s.d.

    Panels have a width of 0.5 s.d., or of 1 s.d. in several dimensions, to limit the number of
    points. A density with kinks at other places has narrow panels of lower order.
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
    """Return points around each component of a mixture.

    The weights contain the share of the component in the density, as a partition of unity.
    """
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
    """Return points on R^dim, mapped to the support by the transform of torch.

    The images of the panels become narrow towards the ends of the support.
    """
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
    """Return all combinations of these values in the entries of the event, with weight 1."""
    (dim,) = p.event_shape
    grid, weight = _product(values, torch.ones_like(values), dim)
    return _for_each(grid, weight, p)


def _for_each(x: Tensor, weight: Tensor, p: Distribution) -> Points:
    """Expand points (S, D) and weights (S,) to all distributions of the batch."""
    shape = (-1, *[1] * len(p.batch_shape))
    points = x.reshape(*shape, x.shape[-1]).expand(-1, *p.batch_shape, -1)
    return points, weight.reshape(shape).expand(-1, *p.batch_shape)


def _counts(p: Distribution, support: Constraint) -> Points:
    """Return the counts 0, 1, 2, ... up to 60 standard deviations and 60 above the mean."""
    most = int((p.mean + 60 * p.stddev).max()) + 60
    return _states(torch.arange(float(most + 1)), p)


def _grid(p: Distribution, support: Constraint) -> Points:
    """Return the levels of a grid."""
    return _states(torch.arange(float(support.num)) / support.levels, p)  # pyright: ignore


def _one_hot(p: Distribution, support: Constraint) -> Points:
    """Return all one-hot vectors."""
    rows = torch.eye(p.event_shape[-1])
    return _for_each(rows, torch.ones(len(rows)), p)


def _sphere(p: Distribution, support: Constraint) -> Points:
    """Return points on the circle or the sphere.

    The angle has the trapezoid rule, and the height on the sphere has Gauss-Legendre panels.
    """
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


# The real numbers, and supports without a bijection to the real numbers in torch.
_SUPPORTS: dict[str, Callable[[Distribution, Constraint], Points]] = {
    "Real": _real,
    "Boolean": lambda p, support: _states(torch.tensor([0.0, 1.0]), p),
    "IntegerGreaterThan": _counts,
    "Grid": _grid,
    "OneHot": _one_hot,
    "Sphere": _sphere,
}

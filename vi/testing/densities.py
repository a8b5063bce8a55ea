"""Checks that hold for every distribution; each raises ``AssertionError``."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.protocols import EstimatedMoments, Piecewise, StandIn
from vi.testing.quadrature import expectation

DRAWS = 100_000
PIECEWISE = 1e-3  # error of quadrature for densities with kinks at unknown places
_REPLICATES, _EACH = 40, 2_000  # replicates of a gradient, and draws of each
_T = 4.75  # Student t with 39 degrees of freedom exceeds this once in 36 000


def standard_error(x: Tensor) -> Tensor:
    """Return the standard error of the mean over the first axis."""
    return x.std(0) / math.sqrt(len(x))


@torch.no_grad()
def check_integral(p: Distribution, support: Constraint) -> None:
    """Require that exp(log_prob) integrates to 1 over the support, to 1e-9 (1e-3 with kinks)."""
    p = scored(p)
    tolerance = PIECEWISE if isinstance(p, Piecewise) and p.piecewise else 1e-9
    off = (expectation(p, support) - 1).abs().max()
    assert off <= tolerance, f"the density integrates to 1 up to {off:.1e}, not {tolerance}"


@torch.no_grad()
def check_moments(p: Distribution) -> None:
    """Require mean and variance of 100 000 draws within 4 s.e. of ``mean`` and ``variance``.

    Each number fails by chance once in 16 000.
    """
    if isinstance(p, EstimatedMoments):  # of a flow: an estimate, under a law of its own
        return
    samples = p.sample((DRAWS,))
    assert samples.shape == (DRAWS, *p.batch_shape, *p.event_shape)
    deviation = samples - p.mean
    assert (deviation.mean(0).abs() <= 4 * standard_error(deviation) + 1e-12).all(), "mean"
    squares = deviation.square() - p.variance
    assert (squares.mean(0).abs() <= 4 * standard_error(squares) + 1e-12).all(), "variance"


@torch.no_grad()
def check_draws(p: Distribution, support: Constraint) -> None:
    """Require draws in the support, with E cos(x + 1) within 4 s.e. of that of the density.

    Each number fails by chance once in 16 000.
    """
    samples = p.sample((DRAWS,))
    inside = support.check(samples)
    assert inside is NotImplemented or inside.all(), "a draw lies outside the support"
    f = lambda x: (x + 1).cos().sum(-1)
    said = f(samples)
    off = (said.mean(0) - expectation(scored(p), support, f)).abs()
    assert (off <= 4 * standard_error(said) + PIECEWISE * isinstance(p, Piecewise)).all(), (
        "draws and density are of two distributions"
    )


def check_gradient_of_draws(head: ConditionalDistribution, params: Tensor) -> None:
    """Compare d E_q[f(z)] / d params by ``rsample`` with the integral: max |t| <= 4.75.

    It uses 40 replicates of 2 000 draws and a curved f that couples the dimensions. A head with
    ``unbiased = False`` must fail, so that the label stays true. A q without ``rsample`` passes.
    """
    params = params.requires_grad_()
    q = head(params)
    if not q.has_rsample:
        return
    turn = torch.arange(1.0, 1 + q.event_shape[0])
    f = lambda z: (z * turn + turn).sin().sum(-1) + 0.5 * (z.sum(-1)).cos()
    exact = _gradient(expectation(scored(q), head.support, f), params)
    draws = [_gradient(f(q.rsample((_EACH,))).mean(), params) for _ in range(_REPLICATES)]
    replicates = torch.stack(draws)
    t = (replicates - exact).mean(0) / standard_error(replicates).clamp_min(1e-15)
    moves = replicates.abs().amax(0) > 1e-12
    assert moves.any(), "no parameter moves a draw"
    worst = t[moves].abs().max()
    if head.unbiased:
        assert worst <= _T, f"the gradient through the draws is off by {worst:.0f} s.e."
    else:
        assert worst > 10, "unbiased = False, but the gradient is right"


def check_every_parameter_counts(head: Callable[[Tensor], Distribution], params: Tensor) -> None:
    """Require that every output of the network affects a draw or its density."""
    params = params.requires_grad_()
    q = head(params)
    z = q.rsample((7,)) if q.has_rsample else q.sample((7,))
    log_q = q.log_prob(z.detach()) if not isinstance(q, StandIn) else z.sum()
    (gradient,) = torch.autograd.grad(z.square().sum() * z.requires_grad + log_q.sum(), params)
    assert (gradient.abs().amax(0) > 0).all(), "a number that the network gives is not used"


def scored(q: Distribution) -> Distribution:
    """Return the distribution with the density of q; for a relaxed q, the discrete one."""
    return q.discrete if isinstance(q, StandIn) else q


def _gradient(value: Tensor, params: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, params, retain_graph=True)
    return gradient

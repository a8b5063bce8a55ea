"""The angle between a vector on the sphere and its mean direction, by numerical quadrature."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions.utils import lazy_property
from torch.nn import functional as F

from vi.distributions.implicit import refuse_second_derivative

_PANELS, _NODES = 14, 10  # size of the composite Gauss-Legendre rule
_REACH = 16.0  # standard deviations on both sides of the mode; less than 1e-12 lies outside
_STEPS = 4  # Newton steps from the mode to a quantile, enough for full precision


class PolarAngle:
    """Angle theta in [0, pi] between a von Mises-Fisher vector and its mean direction.

        p(theta) = exp(-kappa (1 - cos theta)) sin(theta)^(d - 2) / J(kappa)

    One rule of 140 nodes around the mode gives log J, the moments and the distribution function,
    whose inverse turns a uniform number into a draw; no Bessel functions are needed. Differences
    that cancel for large kappa are avoided: the versine 1 - cos theta is computed as 2 sin(theta /
    2)^2.

    Args:
        concentration: kappa >= 0, (*batch).
        dim: d >= 2, the dimension of the vectors.

    >>> angle = PolarAngle(torch.tensor(0.0), dim=3)
    >>> angle.log_normalizer, angle.mean_versine, angle.quantile(torch.tensor([0.5]))
    (tensor(0.6931), tensor(1.), tensor([1.5708]))
    """

    def __init__(self, concentration: Tensor, dim: int) -> None:
        self.concentration, self.power = concentration, dim - 2

    @lazy_property
    def log_normalizer(self) -> Tensor:
        """log J(kappa) in nats, (*batch); its derivative is minus the mean versine."""
        sine, versine = self._peak
        return self.power * sine.log() - self.concentration * versine + self.log_mass

    @lazy_property
    def mean_versine(self) -> Tensor:
        """E[1 - cos theta], (*batch)."""
        versine = self._peak[1]
        return versine + self._mean(self.versine - _beside(versine, self.versine))

    @property
    def variance_cosine(self) -> Tensor:
        """Var[cos theta], (*batch)."""
        return self._mean((self.versine - self.mean_versine[..., None, None]).square())

    @property
    def mean_square_sine(self) -> Tensor:
        """E[sin(theta)^2], (*batch)."""
        return self._mean(self.versine * (2 - self.versine))

    def quantile(self, mass: Tensor) -> Tensor:
        """Return the theta with P(angle <= theta) = mass, with its implicit gradient in kappa.

        Args:
            mass: Probabilities in [0, 1), (*sample, *batch).

        Returns:
            theta in radians, (*sample, *batch).

        Reference: Figurnov, Mohamed and Mnih, 2018, https://arxiv.org/abs/1805.08498
        """
        rank = self.concentration.ndim
        samples, batch = mass.shape[: mass.ndim - rank], mass.shape[mass.ndim - rank :]
        with torch.no_grad():
            tail = _Tail(self, mass.reshape((-1, *batch)).movedim(0, -1).contiguous())
            gap = tail.gap()
            theta, slope = tail.theta(gap), tail.slope(gap)
        theta, slope = (t.movedim(-1, 0).reshape((*samples, *batch)) for t in (theta, slope))
        return _Implicit.apply(self.concentration.expand_as(theta), theta, slope)

    def exponent(self, theta: Tensor) -> Tensor:
        """Return the log-density at theta (*batch, ..) minus that at the mode."""
        kappa, sine, versine = (_beside(t, theta) for t in (self.concentration, *self._peak))
        return self.power * (_sine(theta) / sine).log() - kappa * (versine_of(theta) - versine)

    def exponent_slope(self, theta: Tensor) -> Tensor:
        """Return the derivative of ``exponent`` in theta."""
        sine = _sine(theta)
        return self.power * theta.cos() / sine - _beside(self.concentration, theta) * sine

    @property
    def mode(self) -> Tensor:
        """The theta of the largest density, (*batch), in radians."""
        return self._mode_and_scale[0]

    @lazy_property
    def edges(self) -> Tensor:
        """Edges of the panels, (*batch, P + 1), up to 16 standard deviations from the mode."""
        mode, scale = self._mode_and_scale
        low, high = mode - _REACH * scale, mode + _REACH * scale
        ends = low.clamp_min(0.0)[..., None], high.clamp_max(math.pi)[..., None]
        return torch.lerp(*ends, self._rule[0])

    @lazy_property
    def _peak(self) -> tuple[Tensor, Tensor]:
        """Sine and versine of the mode, (*batch)."""
        return _sine(self.mode), versine_of(self.mode)

    @lazy_property
    def _mode_and_scale(self) -> tuple[Tensor, Tensor]:
        """The maximum of the exponent, and its curvature there to the power -1/2."""
        kappa = self.concentration.detach()
        n = torch.full_like(kappa, self.power)
        double = (n.hypot(2 * kappa) + 2 * kappa).clamp_min(torch.finfo(kappa.dtype).tiny)
        square = n / double  # of tan(mode / 2)
        curvature = kappa * (1 - square) / (1 + square) + double * (1 + square).square() / 4
        return 2 * square.sqrt().atan(), curvature.rsqrt()

    @lazy_property
    def versine(self) -> Tensor:
        """1 - cos theta at the nodes, (*batch, P, Q)."""
        return versine_of(self._theta)

    @lazy_property
    def probabilities(self) -> Tensor:
        """Probabilities of the nodes, (*batch, P, Q); they add up to 1."""
        return self._log_terms.flatten(-2).softmax(-1).unflatten(-1, (_PANELS, _NODES))

    @lazy_property
    def log_mass(self) -> Tensor:
        """log of the integral of exp(exponent), (*batch)."""
        return self._log_terms.logsumexp((-2, -1))

    @property
    def _rule(self) -> tuple[Tensor, Tensor, Tensor]:
        """Edges, nodes and weights of the rule on [0, 1]."""
        return _rule(self.concentration.dtype, self.concentration.device)

    @lazy_property
    def _theta(self) -> Tensor:
        """Angles of the nodes, (*batch, P, Q)."""
        return torch.lerp(self.edges[..., :-1, None], self.edges[..., 1:, None], self._rule[1])

    @lazy_property
    def _log_terms(self) -> Tensor:
        """Exponents of the nodes plus the logarithms of their weights, (*batch, P, Q)."""
        width = (self.edges[..., 1:] - self.edges[..., :-1])[..., None]
        return self.exponent(self._theta) + (width * self._rule[2]).log()

    def _mean(self, values: Tensor) -> Tensor:
        """Return the expectation of values (*batch, P, Q) at the nodes."""
        return (self.probabilities * values).sum((-2, -1))


class _Tail:
    """Quantiles of given masses, each computed from the nearer end of the interval.

    Up to the median F is the mass between the lower end and theta, above it the mass between theta
    and the upper end, so that a small mass keeps its digits. Each quantile lies in one panel: the
    mass beyond the far edge of that panel is tabulated, and the rest, up to theta = edge +- gap,
    is a Gauss-Legendre sum.

    Args:
        angle: Distribution of the angle, with shape (*batch).
        mass: P(angle <= theta), (*batch, S).
    """

    def __init__(self, angle: PolarAngle, mass: Tensor) -> None:
        self.angle = angle
        eps = torch.finfo(mass.dtype).eps
        mass = mass.clamp(eps / 4, 1 - eps / 2)  # torch.rand can return 0
        masses = angle.probabilities.sum(-1)
        excess = angle.probabilities * (angle.mean_versine[..., None, None] - angle.versine)
        sums, moments = _from_both_ends(masses), _from_both_ends(excess.sum(-1))
        below = sums[..., : _PANELS + 1]
        panel = torch.searchsorted((below / below[..., -1:]).contiguous(), mass) - 1
        upper = mass > 0.5
        far, near = panel + upper, panel + ~upper
        self.sign = 1 - 2 * upper.to(mass.dtype)
        self.target = torch.where(upper, 1 - mass, mass)
        self.edge = angle.edges.gather(-1, far)
        self.width = (angle.edges.gather(-1, near) - self.edge).abs()
        of_upper = upper * (_PANELS + 1)
        self.far_mass = sums.gather(-1, far + of_upper)
        self.far_moment = moments.gather(-1, far + of_upper)
        _, positions, weights = _rule(mass.dtype, mass.device)
        self.positions, self.weights = F.pad(positions, (0, 1), value=1.0), F.pad(weights, (0, 1))

    def gap(self) -> Tensor:
        """Return the distances of the quantiles from their edges, (*batch, S)."""
        mode = self.angle.mode[..., None]
        gap = (self.sign * (mode - self.edge)).clamp_min(0.0).minimum(self.width)
        least = 1e-4 * self.width * (self.far_mass == 0)  # F / F' is 0 / 0 at an end
        for _ in range(_STEPS):
            gap = self._step(gap.maximum(least))
        return gap

    def theta(self, gap: Tensor) -> Tensor:
        """Return the angles at these distances from the edges, (*batch, S, ..)."""
        edge, sign = (_beside(t, gap) for t in (self.edge, self.sign))
        return edge + sign * gap

    def slope(self, gap: Tensor) -> Tensor:
        """Return d theta / d kappa = -(dF / d kappa) / f, (*batch, S).

        dF / d kappa = E[(cos theta' - E cos) 1(theta' <= theta)] over the angle theta'.
        """
        theta, density = self._from_edge(gap)
        excess = _beside(self.angle.mean_versine, theta) - versine_of(theta)
        moment = self.far_moment + gap * ((density * excess) @ self.weights)
        return -self.sign * moment / density[..., -1]

    def _step(self, gap: Tensor) -> Tensor:
        """Apply one Newton step to the power of F that is locally linear: exact for F = gap^m.

        1 / m = 1 - F F'' / F'^2. Towards 0, where F is exponential, it is the step for log F.
        """
        theta, density = self._from_edge(gap)
        mass = self.far_mass + gap * (density @ self.weights)
        ratio = mass / density[..., -1]
        bend = 1 - self.sign * ratio * self.angle.exponent_slope(theta[..., -1])
        bend = bend.clamp_min(1e-3)
        step = ratio * torch.expm1(bend * (self.target / mass).log()) / bend
        return (gap + step).clamp_min(0.0).minimum(self.width)

    def _from_edge(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nodes from the far edge to theta, then theta, and the densities at them.

        Both have shape (*batch, S, Q + 1).
        """
        theta = self.theta(gap[..., None] * self.positions)
        exponent = self.angle.exponent(theta) - _beside(self.angle.log_mass, theta)
        return theta, exponent.exp()


class _Implicit(torch.autograd.Function):
    """theta as a function of kappa with a given derivative."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor, theta: Tensor, slope: Tensor) -> Tensor:
        del kappa
        ctx.save_for_backward(slope)
        return theta.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        refuse_second_derivative("the von Mises-Fisher distribution")
        (slope,) = ctx.saved_tensors
        return grads[0] * slope, None, None


@cache
def _rule(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the panel edges and the Gauss-Legendre nodes and weights, all on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    numbers = np.linspace(0, 1, _PANELS + 1), (nodes + 1) / 2, weights / 2
    # Tensors made in inference mode could not be used in a later call with gradients.
    with torch.inference_mode(False):
        edges, nodes, weights = (torch.tensor(n, dtype=dtype, device=device) for n in numbers)
    return edges, nodes, weights


def versine_of(theta: Tensor) -> Tensor:
    """Return 1 - cos theta to full precision for small theta."""
    return 2 * (theta / 2).sin().square()


def _sine(theta: Tensor) -> Tensor:
    """Return sin theta, positive even where pi is rounded up."""
    return theta.sin().clamp_min(torch.finfo(theta.dtype).tiny)


def _from_both_ends(x: Tensor) -> Tensor:
    """Return the sums below each edge and then the sums above each edge, 2 (P + 1) numbers.

    Args:
        x: One number per panel, (*batch, P).
    """
    zero = torch.zeros_like(x[..., :1])
    below = torch.cat([zero, x], -1).cumsum(-1)
    above = torch.cat([zero, x.flip(-1)], -1).cumsum(-1).flip(-1)
    return torch.cat([below, above], -1)


def _beside(x: Tensor, like: Tensor) -> Tensor:
    """Return x (*batch) with trailing axes of size 1, until it has as many axes as ``like``."""
    return x.reshape(*x.shape, *[1] * (like.ndim - x.ndim))

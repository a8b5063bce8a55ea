"""Normalising flows: a Gaussian transformed by invertible networks.

This is the only module that imports zuko.
"""

import math
from abc import ABC, abstractmethod
from functools import cache, cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from vi.distributions.protocols import EstimatedMoments, OnePass, Piecewise, ScoredDraws
from vi.math import Shape
from vi.options import Configurable

_checks = Distribution._validate_args
import zuko as zuko  # noqa: E402, importing it turns torch's checks off for the whole process

Distribution.set_default_validate_args(_checks)

_POINTS = 64  # points whose mean and variance estimate the moments
_POINTS_AT_ONCE = 8  # points that pass through the flow together, which limits memory


class FlowRecipe(Configurable, ABC):
    """Recipe for an invertible network.

    An implementer writes ``__call__`` and sets ``piecewise`` if the density has corners. A flow
    may be slow in one direction. A posterior samples in the fast direction and a prior scores in
    it; ``flow=inverse`` exchanges the two directions.
    """

    piecewise: bool = False
    """Whether the log-density has corners, where its derivative jumps."""

    @abstractmethod
    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build the module.

        Args:
            features: Z, the number of dimensions.
            context: Width of the context that the transform depends on; 0 for none.

        Returns:
            A lazy transform of zuko, near the identity at first: a module that takes the context
            (*batch, context), or nothing, and returns a transform (.., *batch, Z) -> (.., *batch,
            Z) whose ``call_and_ladj`` takes one pass through the network.
        """


class FlowDistribution(OnePass, EstimatedMoments, Piecewise, Distribution):
    """Normalising flow z = mu + sigma f(e) with e ~ N(0, I) and f invertible.

        log p(z) = log N(e; 0, I) - log |det df/de| - sum_d log sigma_d

    at e = f^-1((z - mu) / sigma).

    ``mean`` and ``variance`` have no closed form. They are estimated from the images of 64 fixed
    points that have the mean and variance of N(0, I), so that they are exact if f is affine in
    each entry. Otherwise the error is a few hundredths of sigma times the size of the departure
    from that.

    Args:
        transform: f, a transform of vectors.
        loc: mu, (*batch, Z).
        log_scale: log sigma, (*batch, Z).
        piecewise: Whether log p has corners.

    Reference: Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770

    >>> from torch.distributions.transforms import ExpTransform, IndependentTransform
    >>> log_normal = FlowDistribution(IndependentTransform(ExpTransform(), 1), *torch.zeros(2, 3))
    >>> log_normal.log_prob(torch.ones(5, 3))[0]
    tensor(-2.7568)
    """

    arg_constraints = {}  # pyright: ignore
    has_rsample = True

    def __init__(
        self, transform: Transform, loc: Tensor, log_scale: Tensor, *, piecewise: bool = False
    ) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.transform, self.loc, self.log_scale = transform, loc, log_scale
        self.piecewise = piecewise

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw z (*sample_shape, *batch, Z) without computing the determinant."""
        return self._placed(self.transform(self._noise(sample_shape)))  # pyright: ignore

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw z (*sample_shape, *batch, Z) and its log p in one pass through f.

        >>> from torch.distributions.transforms import AffineTransform, IndependentTransform
        >>> f = IndependentTransform(AffineTransform(0.0, torch.ones(3)), 1)
        >>> p = FlowDistribution(f, *torch.zeros(2, 3))
        >>> p.rsample((5,)).shape
        torch.Size([5, 3])
        """
        noise = self._noise(sample_shape)
        y, log_det = self.transform.call_and_ladj(noise)  # pyright: ignore
        return self._placed(y), lambda: _log_normal(noise) - log_det - self.log_scale.sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z) in nats, (.., *batch), through the inverse of f."""
        y = (value - self.loc) * (-self.log_scale).exp()
        noise, log_det = self.transform.inv.call_and_ladj(y)  # pyright: ignore
        return _log_normal(noise) + log_det - self.log_scale.sum(-1)

    @property
    def mean(self) -> Tensor:
        """Estimate of E[z], (*batch, Z)."""
        return self._placed(self._moments[0])

    @property
    def variance(self) -> Tensor:
        """Estimate of Var[z_d] for each d, (*batch, Z)."""
        return (2 * self.log_scale).exp() * self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of f(e) over the fixed points, a few points at a time."""
        points = _normal_points(self.loc.shape[-1]).to(self.loc)
        points = points.view(-1, *[1] * (self.loc.dim() - 1), points.shape[-1])
        parts = points.expand(-1, *self.loc.shape).split(_POINTS_AT_ONCE)
        y = torch.cat([self.transform(part) for part in parts])  # pyright: ignore
        return y.mean(0), y.var(0, correction=0)

    def _noise(self, sample_shape: Shape) -> Tensor:
        shape = (*sample_shape, *self.loc.shape)
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def _placed(self, y: Tensor) -> Tensor:
        return self.loc + self.log_scale.exp() * y


def _log_normal(x: Tensor) -> Tensor:
    """Return log N(x; 0, I) in nats for vectors x (.., Z)."""
    return -0.5 * (x.square().sum(-1) + x.shape[-1] * math.log(2 * math.pi))


@cache
def _normal_points(dim: int) -> Tensor:
    """Return fixed points (64, Z) with mean 0 and variance 1 in each dimension.

    They are scrambled Sobol points, mapped to normal deviates, and their reflections through 0.
    """
    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0)
    uniform = engine.draw(_POINTS // 2, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    half = torch.special.ndtri(uniform)
    points = torch.cat([half, -half])
    return points / points.square().mean(0).sqrt()

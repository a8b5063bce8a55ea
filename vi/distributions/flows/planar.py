"""Planar flows."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from torch.nn.functional import softplus

from vi.distributions.flow import FlowRecipe, zuko
from vi.errors import require_positive

_START = 0.1  # initial size of u, so that the flow starts near the identity
_LEAST_SLOPE = 1e-3  # lower limit of 1 + w'u, which an inverse needs to be positive
_HALVINGS = 60  # steps of bisection in the inverse
_IDENTITY = math.log(math.e - 1)  # its softplus is 1


class PlanarFlow(FlowRecipe):
    """Planar flow y = x + u tanh(w'x + b), with u, w and b linear in the context.

    u is shifted along w so that 1 + w'u > 1e-3, which makes the transform invertible. The inverse
    is a scalar equation in w'x + b, which is solved by bisection.

    Args:
        num_transforms: Number of transforms in sequence.

    Raises:
        ConfigurationError: ``num_transforms`` is not positive.

    Reference: Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770, section 4.1 and
    appendix A

    >>> PlanarFlow()(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    def __init__(self, num_transforms: int = 8) -> None:
        require_positive("num_transforms", num_transforms)
        self.num_transforms = num_transforms

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build planar transforms over ``features`` dimensions."""
        transforms = [_Lazy(features, context) for _ in range(self.num_transforms)]
        return zuko.lazy.LazyComposedTransform(*transforms)


class _Lazy(zuko.lazy.LazyTransform):
    """Parameters u, w and b of one transform, and their linear dependence on the context."""

    def __init__(self, features: int, context: int) -> None:
        super().__init__()
        self.sizes = [features, features, 1]
        start = torch.randn(sum(self.sizes)) / math.sqrt(features)
        start[:features] *= _START
        self.start = nn.Parameter(start)
        if context:
            self.steer = nn.Linear(context, sum(self.sizes), bias=False)
            with torch.no_grad():
                self.steer.weight.mul_(_START)

    def forward(self, c: Tensor | None = None) -> Transform:
        u, w, b = (self.start if c is None else self.start + self.steer(c)).split(self.sizes, -1)
        return _Planar(u, w, b.squeeze(-1))


class _Planar(Transform):
    """Transform x + u tanh(a) with a = w'x + b and determinant 1 + w'u (1 - tanh(a)^2)."""

    domain = constraints.real_vector  # pyright: ignore
    codomain = constraints.real_vector  # pyright: ignore
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        along = (u * w).sum(-1)
        self.slope = _LEAST_SLOPE + (1 - _LEAST_SLOPE) * softplus(along + _IDENTITY)  # 1 + w'u
        length = w.square().sum(-1).clamp_min(torch.finfo(w.dtype).tiny)
        self.u = u + ((self.slope - 1 - along) / length)[..., None] * w
        self.w, self.b = w, b

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the logarithm of the determinant."""
        t = self._projected(x).tanh()
        return x + self.u * t[..., None], self._determinant(t).log()

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        del y
        return self._determinant(self._projected(x).tanh()).log()

    def _inverse(self, y: Tensor) -> Tensor:
        return y - self.u * self._solved(self._projected(y)).tanh()[..., None]

    def _projected(self, x: Tensor) -> Tensor:
        return (self.w * x).sum(-1) + self.b

    def _determinant(self, t: Tensor) -> Tensor:
        return t.square() + (1 - t.square()) * self.slope  # both terms are positive: no cancelling

    def _solved(self, target: Tensor) -> Tensor:
        """Return the root a of a + w'u tanh(a) = target, which increases in a.

        Bisection finds it; two Newton steps then give it its first and second derivatives.
        """
        step = self.slope - 1
        with torch.no_grad():
            low, high = target - step.abs(), target + step.abs()
            for _ in range(_HALVINGS):
                a = (low + high) / 2
                above = a + step * a.tanh() > target
                low, high = low.where(above, a), a.where(above, high)
        for _ in range(2):
            a = a - (a + step * a.tanh() - target) / self._determinant(a.tanh())
        return a

"""Two interleaved half circles in the plane."""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from vi.data.source import Items
from vi.data.synthetic import Synthetic
from vi.errors import ConfigurationError

_NODES = 20  # nodes of the quadrature over an arc of two standard deviations
_NARROWEST = 0.01  # keeps the number of nodes to a few thousand


class TwoMoons(Synthetic):
    """x = m_c(t) + s e in the plane, (2,): c fair, t ~ U(0, pi), e ~ N(0, I).

    m_0(t) = (cos t, sin t) is the upper moon, m_1(t) = (1 - cos t, 1/2 - sin t) the lower one.
    p(x|c) = (1/pi) int N(x; m_c(t), s^2 I) dt is computed by Gauss-Legendre quadrature, up to
    rounding.

    Args:
        scale: s.
        context: ``label`` gives the moon as ``given["context"]``, one-hot.
        n_train: Number of training data.
        n_val: Number of validation data; 0 gives no validation split.
        n_test: Number of test data.
        truth_seed: Seed of the data; the moons are fixed.

    Raises:
        ConfigurationError: A size is not positive, or the scale is below 0.01.

    >>> data = TwoMoons(context="label", n_train=50, n_val=0, n_test=20).load()
    >>> data.shape, data.context_dim, data.val
    ((2,), 2, None)
    """

    name = "two_moons"

    def __init__(
        self,
        scale: float = 0.1,
        context: Literal["label"] | None = None,
        n_train: int = 5000,
        n_val: int = 1000,
        n_test: int = 1000,
        truth_seed: int = 0,
    ) -> None:
        super().__init__(n_train, n_val, n_test, truth_seed)
        if not scale >= _NARROWEST:
            raise ConfigurationError(
                f"data.scale must be at least {_NARROWEST}, got {scale}", hint="data.scale=0.1"
            )
        self.scale = scale
        self.num_classes = 2 if context else 0

    def truth(self, labels: Int64[Tensor, " N"] | None = None) -> Distribution:
        """Return the integral over t as a mixture over nodes; with labels, of each one's moon."""
        t, weights = _quadrature(math.ceil(math.pi / (2 * self.scale)))
        moons = torch.stack([moon(t, torch.full(t.shape, c)) for c in (0, 1)])
        centres = moons.flatten(0, 1) if labels is None else moons[labels]
        weights = weights.repeat(centres.shape[-2] // len(t)).expand(centres.shape[:-1])
        around = Independent(Normal(centres, self.scale), 1)
        return MixtureSameFamily(Categorical(weights), around)

    def items(self, n: int, random: torch.Generator) -> Items:
        """Draw n data: first all moons, then all t, then all e."""
        labels = torch.randint(0, 2, (n,), generator=random)
        t = math.pi * torch.rand(n, generator=random, dtype=torch.float64)
        e = torch.randn(n, 2, generator=random, dtype=torch.float64)
        return Items(moon(t, labels) + self.scale * e, labels if self.num_classes else None)


def moon(t: Float64[Tensor, " N"], labels: Int64[Tensor, " N"]) -> Float64[Tensor, "N 2"]:
    """Return m_c(t), (N, 2).

    >>> moon(torch.zeros(2, dtype=torch.float64), torch.tensor([0, 1]))
    tensor([[1.0000, 0.0000],
            [0.0000, 0.5000]], dtype=torch.float64)
    """
    upper = torch.stack([t.cos(), t.sin()], dim=-1)
    lower = torch.tensor([1.0, 0.5], dtype=t.dtype) - upper
    return torch.where(labels[:, None] == 0, upper, lower)


def _quadrature(arcs: int) -> tuple[Tensor, Tensor]:
    """Return nodes in (0, pi) on this number of equal arcs, and weights with sum 1."""
    x, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(_NODES))
    t = torch.arange(arcs)[:, None] + (x + 1) / 2
    return math.pi / arcs * t.flatten(), weights.repeat(arcs) / (2 * arcs)

"""The Gaussian with a full covariance, parametrised by scales and a unit Cholesky factor."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vi.distributions.protocols import OnePass, ScoredDraws
from vi.math import Shape


class FullNormal(OnePass, MultivariateNormal):
    """Gaussian N(z; m, L L') with L = diag(s) T and T unit lower triangular.

    The log-density of its own draws is computed from their noise, without solving a linear system.
    Elsewhere the system is solved in units of s, so that its condition does not depend on the
    scales.

    Args:
        loc: m, (*batch, Z).
        scale: s > 0, (*batch, Z).
        unit_tril: T, (*batch, Z, Z), lower triangular with ones on its diagonal.

    >>> FullNormal(torch.zeros(5, 2), torch.ones(5, 2), torch.eye(2).expand(5, 2, 2)).entropy()[0]
    tensor(2.8379)
    """

    def __init__(self, loc: Tensor, scale: Tensor, unit_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale.unsqueeze(-1) * unit_tril, validate_args=False)
        self.scale, self.unit_tril = scale, unit_tril

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log N(z; m, L L') in nats, (*batch)."""
        y = (value - self.loc) / self.scale
        unit = MultivariateNormal(
            torch.zeros_like(self.loc), scale_tril=self.unit_tril, validate_args=False
        )
        return unit.log_prob(y) - self.scale.log().sum(-1)

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw z = m + L e with e ~ N(0, I), (*sample_shape, *batch, Z)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        y = torch.einsum("...ij,...j->...i", self.unit_tril, noise)
        return self.loc + self.scale * y, partial(self._density_of, noise)

    def _density_of(self, noise: Tensor) -> Tensor:
        """Return -|e|^2 / 2 - sum_d log s_d - (Z / 2) log 2 pi, log p of the draw with noise e."""
        squares = noise.square().sum(-1) + self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * squares - self.scale.log().sum(-1)

"""The Gaussian with a full covariance, by its Cholesky factor."""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vi.math import Shape


class FullNormal(MultivariateNormal):
    """N(z; m, L L') with L = diag(s) T, and the density of its own draws without a solution.

    What is solved for is T, which does not know the scales.

    Args:
        loc: m, (*batch, Z).
        scale: s, (*batch, Z).
        unit_tril: T, (*batch, Z, Z), lower triangular with ones on its diagonal.

    >>> FullNormal(torch.zeros(5, 2), torch.ones(5, 2), torch.eye(2).expand(5, 2, 2)).entropy()[0]
    tensor(2.8379)
    """

    def __init__(self, loc: Tensor, scale: Tensor, unit_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale.unsqueeze(-1) * unit_tril, validate_args=False)
        self.scale, self.unit_tril = scale, unit_tril

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats."""
        y = (value - self.loc) / self.scale
        unit = MultivariateNormal(
            torch.zeros_like(self.loc), scale_tril=self.unit_tril, validate_args=False
        )
        return unit.log_prob(y) - self.scale.log().sum(-1)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """m + L e, e standard normal."""
        return self._at(self._noise(sample_shape))

    def rsample_and_log_prob(self, sample_shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """Draws and their log-density in nats, -|e|^2 / 2 - sum log s - (Z / 2) log 2 pi."""
        noise = self._noise(sample_shape)
        squares = noise.square().sum(-1) + self.event_shape[0] * math.log(2 * math.pi)
        return self._at(noise), -0.5 * squares - self.scale.log().sum(-1)

    def _noise(self, sample_shape: Shape) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def _at(self, noise: Tensor) -> Tensor:
        y = torch.einsum("...ij,...j->...i", self.unit_tril, noise)
        return self.loc + self.scale * y

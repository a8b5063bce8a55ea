"""The Gaussian with a full covariance, by its Cholesky factor."""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vi.math import Shape


class FullNormal(MultivariateNormal):
    """N(z; m, L L'), which knows the density of its own draws without solving for their noise.

    Args:
        loc: m, (*batch, Z).
        scale_tril: L, (*batch, Z, Z), lower triangular with a positive diagonal.

    >>> FullNormal(torch.zeros(5, 2), torch.eye(2).expand(5, 2, 2)).entropy()[0]
    tensor(2.8379)
    """

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """m + L e, e standard normal."""
        return self._at(self._noise(sample_shape))

    def rsample_and_log_prob(self, sample_shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """Draws and their log-density in nats, -|e|^2 / 2 - log det L - (Z / 2) log 2 pi."""
        noise = self._noise(sample_shape)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.event_shape[0] * math.log(2 * math.pi)
        return self._at(noise), -0.5 * (noise.square().sum(-1) + constant) - log_det

    def _noise(self, sample_shape: Shape) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def _at(self, noise: Tensor) -> Tensor:
        return self.loc + torch.einsum("...ij,...j->...i", self.scale_tril, noise)

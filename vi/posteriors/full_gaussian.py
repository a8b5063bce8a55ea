"""The Gaussian posterior with a full covariance."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.full_normal import FullNormal
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class FullGaussian(LocationScalePosterior):
    """Full-covariance Gaussian q(z|x) = N(z; mu(x), L(x) L(x)') with L = diag(s) T.

    T is unit lower triangular, and the network outputs log s. Because T holds the rows of L in
    units of s, no covariance is hard to invert. The network outputs n T, with n the number of
    correlations: optimiser noise in all n outputs together then costs as little as it would in
    one, and does not hide z from an untrained decoder.

    Args:
        latent_dim: Z; the network outputs 2 Z + Z (Z - 1) / 2 numbers.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    Reference: Kingma and Welling, 2019, https://arxiv.org/abs/1906.02691, section 2.5.1

    >>> q = FullGaussian(3)(torch.zeros(5, 9))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([3]), tensor(4.2568))
    """

    entries: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        numbers = torch.arange(latent_dim**2).view(latent_dim, latent_dim)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        entries = torch.cat([numbers.diagonal(), numbers[rows, columns]])
        self.register_buffer("entries", entries, persistent=False)

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """Shape of n times the part of T below the diagonal, row by row."""
        (z,) = self.event_shape
        return ((z * (z - 1) // 2,),)

    def placed(self, loc: Tensor, log_scale: Tensor, below: Tensor) -> Distribution:
        """Return N(mu, L L') over vectors (Z,).

        Args:
            loc: mu, (*batch, Z).
            log_scale: log s, (*batch, Z).
            below: n T below the diagonal, (*batch, Z (Z - 1) / 2).
        """
        below = below / max(1, below.shape[-1])
        (z,) = self.event_shape
        flat = loc.new_zeros(*loc.shape[:-1], z * z)
        flat = flat.index_copy(-1, self.entries, torch.cat([torch.ones_like(loc), below], -1))
        return FullNormal(loc, log_scale.exp(), flat.unflatten(-1, (z, z)))

"""The Gaussian posterior with a full covariance."""

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.full_normal import FullNormal
from vi.distributions.log_scale import bounded
from vi.errors import require_positive
from vi.math import Shape


class FullGaussian(ConditionalDistribution):
    """q(z|x) = N(z; mu(x), L(x) L(x)'), L = diag(s) T, with T unit lower triangular and s an exp.

    The network gives T, the rows of L in units of s, so that no covariance is hard to invert; and
    it gives n T, n being the number of correlations: what an optimiser's noise moves all of them
    by together costs as little as one would, and does not hide z from a decoder that is young.

    Args:
        latent_dim: Z; the network gives 2 Z + Z (Z - 1) / 2 numbers.

    Reference: Kingma and Welling, 2019, https://arxiv.org/abs/1906.02691, section 2.5.1

    >>> q = FullGaussian(3)(torch.zeros(5, 9))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([3]), tensor(4.2568))
    """

    support = constraints.real
    entries: Tensor

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))
        numbers = torch.arange(latent_dim**2).view(latent_dim, latent_dim)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        entries = torch.cat([numbers.diagonal(), numbers[rows, columns]])
        self.register_buffer("entries", entries, persistent=False)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu, log s, and n times what is below the diagonal of T, row by row."""
        (z,) = self.event_shape
        return (self.event_shape, self.event_shape, (z * (z - 1) // 2,))

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, 2 Z + Z (Z - 1) / 2) -> q with batch_shape (*batch) and event_shape (Z,)."""
        loc, log_scale, below = self.split(params)
        log_scale = bounded(log_scale, training=self.training)
        below = below / max(1, below.shape[-1])
        (z,) = self.event_shape
        flat = params.new_zeros(*loc.shape[:-1], z * z)
        flat = flat.index_copy(-1, self.entries, torch.cat([torch.ones_like(loc), below], -1))
        return FullNormal(loc, log_scale.exp(), flat.unflatten(-1, (z, z)))

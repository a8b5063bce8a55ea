"""The Gaussian posterior with a full covariance."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.full_normal import FullNormal
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class FullGaussian(LocationScalePosterior):
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

    entries: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        numbers = torch.arange(latent_dim**2).view(latent_dim, latent_dim)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        entries = torch.cat([numbers.diagonal(), numbers[rows, columns]])
        self.register_buffer("entries", entries, persistent=False)

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """n times what is below the diagonal of T, row by row."""
        (z,) = self.event_shape
        return ((z * (z - 1) // 2,),)

    def placed(self, loc: Tensor, log_scale: Tensor, below: Tensor) -> Distribution:
        """See ``LocationScalePosterior``."""
        below = below / max(1, below.shape[-1])
        (z,) = self.event_shape
        flat = loc.new_zeros(*loc.shape[:-1], z * z)
        flat = flat.index_copy(-1, self.entries, torch.cat([torch.ones_like(loc), below], -1))
        return FullNormal(loc, log_scale.exp(), flat.unflatten(-1, (z, z)))

"""Diagonal covariances: ellipsoids along the axes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vi.covariances.base import Covariance


class Diagonal(Covariance):
    """Diagonal covariance Sigma_c = diag(s_c^2), parametrised by log s_c.

    Its projection of a matrix is the diagonal, (G, D).

    >>> covariance = Diagonal(tied=True)
    >>> covariance.set_shape(num_components=3, dim=2)
    >>> covariance.log_scale.shape
    torch.Size([1, 2])
    """

    def make_parameters(self, num_covariances: int, dim: int) -> None:
        """Start at s = 1."""
        self.log_scale = nn.Parameter(torch.zeros(num_covariances, dim, dtype=torch.float64))

    def whitening(self) -> Callable[[Tensor], Tensor]:
        """Return the map x -> x / s."""
        inverse = (-self.log_scale).exp()
        return lambda x: x * inverse

    def colour(self, noise: Tensor) -> Tensor:
        """Return s e."""
        return noise * self.log_scale.exp()

    def log_det(self) -> Tensor:
        """Return 2 sum_d log s_d."""
        return 2 * self.log_scale.sum(-1)

    def trace(self, projection: Tensor) -> Tensor:
        """Return sum_d S_dd / s_d^2."""
        return (projection * (-2 * self.log_scale).exp()).sum(-1)

    def second_moment(self, x: Tensor, r: Tensor) -> Tensor:
        """Return the diagonal of sum_n r_nc x_n x_n', (G, D)."""
        return self._pooled(r.mT @ x.square())

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the diagonal of a_c b_c', (G, D)."""
        return self._pooled(a * b)

    def project_diagonal(self, variance: Tensor) -> Tensor:
        """Return the diagonal itself, (1, D)."""
        return variance[None]

    def eigenvalues(self, projection: Tensor) -> Tensor:
        """Return the diagonal divided by the variance of the data, (G, D)."""
        return projection / self.variance

    def assign(self, projection: Tensor) -> None:
        """Set log s = log(S_dd) / 2."""
        self.log_scale.copy_(projection.log() / 2)

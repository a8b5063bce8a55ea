"""Spherical covariances: balls."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vi.covariances.base import FLOOR, Covariance
from vi.errors import require_positive


class Spherical(Covariance):
    """Spherical covariance Sigma_c = s_c^2 I, with log s_c learned or s given.

    The projection of a matrix is the mean of its diagonal, (G,). With a given s -> 0 the
    responsibilities become hard, and EM becomes k-means.

    Args:
        tied: Whether all components share one s.
        prior_count: n_0, the number of pseudo-data of each s; ignored if s is given.
        prior_scale: S_0 = prior_scale^2 times the variance of each dimension of the training data.
        floor: Lower limit of the variance, as a share of that of the data; ignored if s is given.
        scale: s in the units of the data; None learns it.

    Raises:
        ConfigurationError: ``scale`` is not positive.

    >>> covariance = Spherical(scale=0.5)
    >>> covariance.set_shape(num_components=3, dim=2)
    >>> covariance.log_det()
    tensor([-2.7726, -2.7726, -2.7726], dtype=torch.float64)
    """

    log_scale: Tensor

    def __init__(
        self,
        *,
        tied: bool = False,
        prior_count: float = 0.0,
        prior_scale: float = 0.1,
        floor: float = FLOOR,
        scale: float | None = None,
    ) -> None:
        super().__init__(tied=tied, prior_count=prior_count, prior_scale=prior_scale, floor=floor)
        if scale is not None:
            require_positive("scale", scale)
        self.scale = scale

    def make_parameters(self, num_covariances: int, dim: int) -> None:
        """Start at s = 1, or register the given s as a constant."""
        log_scale = torch.zeros(num_covariances, 1, dtype=torch.float64)
        if self.scale is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale + math.log(self.scale))

    def whitening(self) -> Callable[[Tensor], Tensor]:
        """Return the map x -> x / s."""
        inverse = (-self.log_scale).exp()
        return lambda x: x * inverse

    def colour(self, noise: Tensor) -> Tensor:
        """Return s e."""
        return noise * self.log_scale.exp()

    def log_det(self) -> Tensor:
        """Return 2 D log s."""
        return 2 * self.dim * self.log_scale[:, 0]

    def trace(self, projection: Tensor) -> Tensor:
        """Return D S / s^2, with S the mean of the diagonal."""
        return self.dim * projection * (-2 * self.log_scale[:, 0]).exp()

    def second_moment(self, x: Tensor, r: Tensor) -> Tensor:
        """Return the mean diagonal of sum_n r_nc x_n x_n', (G,)."""
        return self._pooled(r.mT @ x.square().mean(-1))

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the mean diagonal of a_c b_c', (G,)."""
        return self._pooled((a * b).mean(-1))

    def project_diagonal(self, variance: Tensor) -> Tensor:
        """Return the mean of the diagonal, (1,)."""
        return variance.mean()[None]

    def eigenvalues(self, projection: Tensor) -> Tensor:
        """Return S divided by the mean variance of the data, (G, 1)."""
        return (projection / self.variance.mean())[:, None]

    def assign(self, projection: Tensor) -> None:
        """Set log s = log(S) / 2."""
        self.log_scale.copy_(projection[:, None].log() / 2)

    def log_prior(self) -> Tensor:
        """Return the log-prior of the base class in nats; 0 if s is given."""
        return super().log_prior() if self.scale is None else torch.zeros_like(self.variance[0])

    def m_step(self, scatter: Tensor, mass: Tensor) -> None:
        """Maximise over s as the base class does; do nothing if s is given."""
        if self.scale is None:
            super().m_step(scatter, mass)

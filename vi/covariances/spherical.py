"""A ball."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vi.covariances.base import FLOOR, Covariance
from vi.errors import require_positive


class Spherical(Covariance):
    """Sigma_c = s_c^2 I, with log s_c as the parameter, or with a given s.

    With a given s -> 0 the responsibilities become hard, and EM becomes k-means.

    Args:
        tied: One s for all components.
        prior_count: n_0, the pseudo-data of each s; without meaning for a given s.
        prior_scale: S_0 = prior_scale^2 times the variance of each dimension of the training data.
        floor: The least variance, as a part of that of the data; without meaning for a given s.
        scale: s, if it is given and not learned, in the units of the data.

    Raises:
        ConfigurationError: A ``scale`` that is not positive.

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
        """s = 1, or the given one."""
        log_scale = torch.zeros(num_covariances, 1, dtype=torch.float64)
        if self.scale is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale + math.log(self.scale))

    def whitening(self) -> Callable[[Tensor], Tensor]:
        """See ``Covariance``."""
        inverse = (-self.log_scale).exp()
        return lambda x: x * inverse

    def colour(self, noise: Tensor) -> Tensor:
        """See ``Covariance``."""
        return noise * self.log_scale.exp()

    def log_det(self) -> Tensor:
        """2 D log s."""
        return 2 * self.dim * self.log_scale[:, 0]

    def trace(self, projection: Tensor) -> Tensor:
        """D S / s^2, with S the mean of the diagonal."""
        return self.dim * projection * (-2 * self.log_scale[:, 0]).exp()

    def second_moment(self, x: Tensor, r: Tensor) -> Tensor:
        """(G,)."""
        return self._pooled(r.mT @ x.square().mean(-1))

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """(G,)."""
        return self._pooled((a * b).mean(-1))

    def project_diagonal(self, variance: Tensor) -> Tensor:
        """(1,)."""
        return variance.mean()[None]

    def eigenvalues(self, projection: Tensor) -> Tensor:
        """(G, 1)."""
        return (projection / self.variance.mean())[:, None]

    def assign(self, projection: Tensor) -> None:
        """log s = log(s^2) / 2."""
        self.log_scale.copy_(projection[:, None].log() / 2)

    def log_prior(self) -> Tensor:
        """See ``Covariance``; 0 for a given s."""
        return super().log_prior() if self.scale is None else torch.zeros_like(self.variance[0])

    def m_step(self, scatter: Tensor, mass: Tensor) -> None:
        """See ``Covariance``; nothing for a given s."""
        if self.scale is None:
            super().m_step(scatter, mass)

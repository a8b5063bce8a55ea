"""The posterior of independent Laplace distributions."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.log_scale import bounded
from vi.errors import require_positive
from vi.math import Shape


class DiagonalLaplace(ConditionalDistribution):
    """q(z|x) = prod_d exp(-|z_d - mu_d(x)| / b_d(x)) / (2 b_d(x)), with b = exp of the network.

    Args:
        latent_dim: Z, the number of latent dimensions.

    >>> import torch
    >>> q = DiagonalLaplace(2)(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([2]), tensor(3.3863))
    """

    support = constraints.real

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu and log b."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, 2 Z) -> q with batch_shape (*batch) and event_shape (Z,)."""
        loc, log_scale = self.split(params)
        log_scale = bounded(log_scale, training=self.training)
        return Independent(Laplace(loc, log_scale.exp(), validate_args=False), 1)

"""The mean-field Gaussian posterior."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.log_scale import bounded
from vi.distributions.normal import Normal
from vi.errors import require_positive
from vi.math import Shape


class DiagonalGaussian(ConditionalDistribution):
    """q(z|x) = prod_d N(z_d; mu_d(x), sigma_d(x)^2), with sigma = exp of the network's output.

    Args:
        latent_dim: Z, the number of latent dimensions.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114

    >>> import torch
    >>> q = DiagonalGaussian(2)(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([2]), tensor(2.8379))
    """

    support = constraints.real

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu and log sigma."""
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, 2 Z) -> q with batch_shape (*batch) and event_shape (Z,)."""
        loc, log_scale = self.split(params)
        log_scale = bounded(log_scale, training=self.training)
        return Independent(Normal(loc, log_scale.exp(), log_scale), 1)

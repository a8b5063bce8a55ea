"""The mean-field Gaussian posterior."""

from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.distributions.normal import Normal
from vi.posteriors.location_scale import LocationScalePosterior


class DiagonalGaussian(LocationScalePosterior):
    """Mean-field Gaussian q(z|x) = prod_d N(z_d; mu_d(x), sigma_d(x)^2).

    The network outputs mu and log sigma.

    Args:
        latent_dim: Z, the number of latent dimensions.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114

    >>> import torch
    >>> q = DiagonalGaussian(2)(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([2]), tensor(2.8379))
    """

    def placed(self, loc: Tensor, log_scale: Tensor) -> Distribution:
        """Return N(mu, diag(sigma^2)) over vectors (Z,)."""
        return Independent(Normal(loc, log_scale.exp(), log_scale), 1)

"""The posterior of independent Laplace distributions."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace

from vi.posteriors.location_scale import LocationScalePosterior


class DiagonalLaplace(LocationScalePosterior):
    """Independent Laplace distributions q(z|x) = prod_d exp(-|z_d - mu_d| / b_d) / (2 b_d).

    The network outputs mu(x) and log b(x). The standard deviation is sqrt(2) b.

    Args:
        latent_dim: Z, the number of latent dimensions.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    >>> import torch
    >>> q = DiagonalLaplace(2)(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([2]), tensor(3.3863))
    """

    def placed(self, loc: Tensor, log_scale: Tensor) -> Distribution:
        """Return independent Laplace distributions over vectors (Z,)."""
        return Independent(Laplace(loc, log_scale.exp(), validate_args=False), 1)

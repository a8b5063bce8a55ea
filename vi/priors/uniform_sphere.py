"""The uniform prior on the sphere."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.constraints import sphere
from vi.distributions.prior import Prior
from vi.distributions.von_mises_fisher import UniformSphereDistribution
from vi.errors import require_positive


class UniformSphere(Prior):
    """Uniform prior p(z) = Gamma(d/2) / (2 pi^(d/2)) over unit vectors z of d dimensions.

    The decoder reads sqrt(d) z, whose entries have variance 1 like those of a standard normal,
    because networks are initialised for such inputs.

    Args:
        latent_dim: d, at least 2.

    Raises:
        ConfigurationError: d is below 2. For d = 1 there are only two unit vectors.

    Reference: Davidson, Falorsi, De Cao, Kipf and Tomczak, 2018, https://arxiv.org/abs/1804.00891

    >>> UniformSphere(3)().log_prob(torch.tensor([0.0, 0.0, 1.0]))
    tensor(-2.5310)
    """

    support = sphere
    mean: Tensor

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim, least=1)
        super().__init__((latent_dim,))
        self.register_buffer("mean", torch.zeros(latent_dim), persistent=False)

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (d,)."""
        return UniformSphereDistribution(self.mean)

    def decoder_input(self, z: Tensor) -> Tensor:
        """Return sqrt(d) z, (*batch, d)."""
        return z * math.sqrt(self.event_shape[0])

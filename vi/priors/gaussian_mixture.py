"""The learned Gaussian mixture prior."""

from collections.abc import Callable

import torch
from torch import nn
from torch.distributions import Distribution, constraints

from vi.distributions.normal_mixture import NormalMixture
from vi.distributions.prior import Prior
from vi.errors import require_positive


class GaussianMixturePrior(Prior):
    """Gaussian mixture p(z) = sum_c w_c N(z; m_c, diag(s_c^2)), with learned w, m and s.

    The components start with equal weights, unit scales and means drawn from N(0, I).

    Args:
        latent_dim: Z, the number of latent dimensions.
        num_components: C.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Dilokthanakul et al., 2016, https://arxiv.org/abs/1611.02648

    >>> p = GaussianMixturePrior(2, num_components=10)()
    >>> p.batch_shape, p.event_shape, p.sample((5,)).shape
    (torch.Size([]), torch.Size([2]), torch.Size([5, 2]))
    """

    support = constraints.real

    def __init__(self, latent_dim: int, num_components: int) -> None:
        require_positive("latent_dim", latent_dim)
        require_positive("num_components", num_components)
        super().__init__((latent_dim,))
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(torch.randn(num_components, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(num_components, latent_dim))

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (Z,)."""
        return NormalMixture(self.logits, self.loc, self.log_scale.exp())

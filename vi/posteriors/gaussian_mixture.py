"""The posterior that is a mixture of Gaussians, for several modes."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.log_scale import bounded
from vi.distributions.normal_mixture import NormalMixture
from vi.errors import require_positive
from vi.math import Shape
from vi.posteriors.location_scale import LocationScalePosterior


class GaussianMixturePosterior(LocationScalePosterior):
    """Gaussian mixture q(z|x) = sum_c w_c(x) N(z; mu_c(x), diag(s_c(x)^2)), for several modes.

    The network outputs one mu and log s, and the deviations of the components in units of s:

        mu_c = mu + s a_c / C,    log s_c = log s + b_c / C,    log w_c = l_c / C + constant.

    The division by C keeps q close to a single Gaussian at the start. Draws have the implicit
    gradient, which can be taken once; the KL has no closed form.

    Args:
        latent_dim: Z, the number of latent dimensions.
        num_components: C; the network outputs 2 Z + C (1 + 2 Z) numbers.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Figurnov, Mohamed and Mnih, 2018, https://arxiv.org/abs/1805.08498

    >>> import torch
    >>> q = GaussianMixturePosterior(2, num_components=3)(torch.zeros(5, 19))
    >>> q.batch_shape, q.event_shape, q.log_prob(torch.zeros(5, 2))[0]
    (torch.Size([5]), torch.Size([2]), tensor(-1.8379))
    """

    def __init__(self, latent_dim: int, num_components: int) -> None:
        super().__init__(latent_dim)
        require_positive("num_components", num_components)
        self.num_components = num_components

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """Shapes of l (C,), a (C, Z) and b (C, Z)."""
        of_each = (self.num_components, *self.event_shape)
        return ((self.num_components,), of_each, of_each)

    def starting_parameters(self, like: Tensor) -> Tensor:
        """Return initial parameters with distinct components.

        Equal components have equal gradients and would stay equal.

        Args:
            like: A tensor of the shape, precision and device of the parameters.
        """
        start = torch.zeros_like(like)
        away, n, (dim,) = self.split(start)[3], self.num_components, self.event_shape
        place = torch.arange(n)[:, None] + 0.5
        away.copy_(n / 2 * torch.cos(math.pi / n * place * torch.arange(1, dim + 1)))
        return start

    def placed(self, loc: Tensor, log_scale: Tensor, *further: Tensor) -> Distribution:
        """Return the mixture over vectors (Z,).

        Args:
            loc: mu, (*batch, Z).
            log_scale: log s, (*batch, Z).
            *further: l (*batch, C), a and b (*batch, C, Z).
        """
        logits, away, wider = (d / self.num_components for d in further)
        log_scale = log_scale.unsqueeze(-2)
        scale = bounded(log_scale + wider, training=self.training).exp()
        return NormalMixture(logits, loc.unsqueeze(-2) + log_scale.exp() * away, scale)

"""The von Mises-Fisher posterior on the sphere."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import sphere
from vi.distributions.von_mises_fisher import VonMisesFisherDistribution
from vi.errors import require_positive
from vi.math import Shape


class VonMisesFisher(ConditionalDistribution):
    """Posterior q(z|x) = C(kappa(x)) exp(kappa(x) mu(x)'z) over unit vectors z of d dimensions.

    mu is the direction of the network's first d outputs (e_1 if they are all 0), and kappa is 1 +
    softplus of the last output, in [1, inf). If kappa could reach 0, the uniform distribution,
    training would abandon the latent before the decoder has learned to use it.

    Args:
        latent_dim: d, at least 2; the network outputs d + 1 numbers.

    Raises:
        ConfigurationError: d is below 2. For d = 1 there are only two unit vectors.

    Reference: Davidson, Falorsi, De Cao, Kipf and Tomczak, 2018, https://arxiv.org/abs/1804.00891

    >>> q = VonMisesFisher(3)(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape, q.concentration[0]
    (torch.Size([5]), torch.Size([3]), tensor(1.6931))
    """

    support = sphere
    needs = "vectors of length 1"

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim, least=1)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the direction (d,), and of kappa before softplus ()."""
        return (self.event_shape, ())

    def starting_parameters(self, like: Tensor) -> Tensor:
        """Return initial parameters with mu = e_1.

        At 0 there is no direction, and no gradient would turn it.

        Args:
            like: A tensor of the shape, precision and device of the parameters.
        """
        start = torch.zeros_like(like)
        self.split(start)[0][..., 0] = 1
        return start

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (d,).

        Args:
            params: Direction and raw concentration, (*batch, d + 1).
        """
        direction, raw = self.split(params)
        return VonMisesFisherDistribution(_direction(direction), 1 + F.softplus(raw))


def _direction(x: Tensor) -> Tensor:
    """Return x / |x|, or e_1 where x is 0.

    x is first divided by its largest entry, so that no square overflows.
    """
    largest = x.detach().abs().amax(-1, keepdim=True)
    pole = torch.zeros_like(x)
    pole[..., 0] = 1
    scaled = x / largest.clamp_min(torch.finfo(x.dtype).tiny)
    return F.normalize(scaled.where(largest > 0, pole), dim=-1)

"""What posteriors over all of R^Z with a location and a scale have in common."""

from abc import abstractmethod

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.log_scale import bounded
from vi.errors import require_positive
from vi.math import Shape


class LocationScalePosterior(ConditionalDistribution):
    """q(z|x) of a location mu(x), a scale s(x) = exp of the network's output, and maybe more.

    log s is ``bounded`` unless in training.

    An implementer writes ``placed``, and ``further_shapes`` of what more the network gives.

    Args:
        latent_dim: Z, the number of latent dimensions.
    """

    support = constraints.real

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """mu, log s, and ``further_shapes``."""
        return (self.event_shape, self.event_shape, *self.further_shapes)

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """Of the parameters beside mu and log s: none."""
        return ()

    @abstractmethod
    def placed(self, loc: Tensor, log_scale: Tensor, *further: Tensor) -> Distribution:
        """q at mu and log s (*batch, Z)."""

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> q with batch_shape (*batch) and event_shape (Z,)."""
        loc, log_scale, *further = self.split(params)
        return self.placed(loc, bounded(log_scale, training=self.training), *further)

"""Posteriors over R^Z with a location and a scale: the base class."""

from abc import abstractmethod

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.log_scale import bounded
from vi.errors import require_positive
from vi.math import Shape


class LocationScalePosterior(ConditionalDistribution):
    """Posterior over R^Z with a location mu(x) and a scale s(x).

    The network outputs mu and log s. Outside training log s is limited by ``bounded``.

    An implementer writes ``placed``, and ``further_shapes`` if the network outputs more than mu
    and log s. ``param_shapes`` and ``forward`` come for free.

    Args:
        latent_dim: Z, the number of latent dimensions.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    >>> import torch
    >>> from torch.distributions import Cauchy, Independent
    >>> class DiagonalCauchy(LocationScalePosterior):
    ...     def placed(self, loc, log_scale):
    ...         return Independent(Cauchy(loc, log_scale.exp()), 1)
    >>> DiagonalCauchy(2)(torch.zeros(5, 4)).log_prob(torch.zeros(5, 2))[0]
    tensor(-2.2895)
    """

    support = constraints.real

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of mu and log s, (Z,) each, and ``further_shapes``."""
        return (self.event_shape, self.event_shape, *self.further_shapes)

    @property
    def further_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameters beyond mu and log s; none by default."""
        return ()

    @abstractmethod
    def placed(self, loc: Tensor, log_scale: Tensor, *further: Tensor) -> Distribution:
        """Build q from its parameters.

        Args:
            loc: mu, (*batch, Z).
            log_scale: log s, (*batch, Z), limited outside training.
            *further: One tensor (*batch, *shape) for each of ``further_shapes``.

        Returns:
            A distribution with batch_shape (*batch) and event_shape (Z,).
        """

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (Z,).

        Args:
            params: Output of the encoder, (*batch, *out_shape).
        """
        loc, log_scale, *further = self.split(params)
        return self.placed(loc, bounded(log_scale, training=self.training), *further)

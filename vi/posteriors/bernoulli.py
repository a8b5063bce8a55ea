"""The posterior of independent bits."""

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.discrete import bits
from vi.errors import require_positive
from vi.math import Shape


class BernoulliPosterior(ConditionalDistribution):
    """Independent bits q(z|x) = prod_d p_d(x)^z_d (1 - p_d(x))^(1 - z_d).

    logit p_d comes from the encoder. Up to 10 bits (1024 states) the ELBO sums over z, so that its
    value has no sampling error and its gradient is exact. With more bits, train with
    scheme=reweighted_wake_sleep, which needs no pathwise gradient.

    Args:
        latent_dim: Z, the number of bits.

    Raises:
        ConfigurationError: ``latent_dim`` is not positive.

    Reference: Hinton, Dayan, Frey and Neal, 1995, https://doi.org/10.1126/science.7761831

    >>> import torch
    >>> q = BernoulliPosterior(3)(torch.zeros(5, 3))
    >>> q.batch_shape, q.enumerate_support().shape, q.entropy()[0]
    (torch.Size([5]), torch.Size([8, 5, 3]), tensor(2.0794))
    """

    support = constraints.boolean

    def __init__(self, latent_dim: int) -> None:
        require_positive("latent_dim", latent_dim)
        super().__init__((latent_dim,))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits, (Z,)."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (Z,).

        Args:
            params: Logits, (*batch, Z).
        """
        (logits,) = self.split(params)
        return bits(logits)

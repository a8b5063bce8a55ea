"""The point mass."""

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from vi.math import Shape


class Delta(Distribution):
    """Point mass on ``value``: the posterior of hard EM and of stochastic EM.

    The entropy is 0, as for any discrete distribution without uncertainty.

    Args:
        value: The point, (*batch, Z).

    >>> Delta(torch.ones(3, 2)).mean.shape, Delta(torch.ones(3, 2)).entropy()
    (torch.Size([3, 2]), tensor([0., 0., 0.]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, value: Tensor) -> None:
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)
        self.value = value

    @property
    def mean(self) -> Tensor:
        """The point, (*batch, Z)."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """Zeros, (*batch, Z)."""
        return torch.zeros_like(self.value)

    @property
    def covariance_matrix(self) -> Tensor:
        """Zeros, (*batch, Z, Z)."""
        return torch.zeros_like(self.value).diag_embed()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Return the point, expanded to (*sample_shape, *batch, Z)."""
        return self.value.expand(*sample_shape, *self.value.shape)

    def entropy(self) -> Tensor:
        """Return 0 nats, (*batch)."""
        return self.value.new_zeros(self.batch_shape)


@register_kl(Delta, Distribution)
def _kl_delta(q: Delta, p: Distribution) -> Tensor:
    """Return -log p(value) in nats: the KL of a point mass over a discrete z."""
    return -p.log_prob(q.value)

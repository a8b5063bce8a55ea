"""All mass on one point."""

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from vi.math import Shape


class Delta(Distribution):
    """q with all its mass on ``value``: what hard and stochastic EM make of a posterior.

    Its entropy is 0, as of any discrete distribution that is certain.

    Args:
        value: (*batch, Z).

    >>> Delta(torch.ones(3, 2)).mean.shape, Delta(torch.ones(3, 2)).entropy()
    (torch.Size([3, 2]), tensor([0., 0., 0.]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, value: Tensor) -> None:
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)
        self.value = value

    @property
    def mean(self) -> Tensor:
        """The point."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """0."""
        return torch.zeros_like(self.value)

    @property
    def covariance_matrix(self) -> Tensor:
        """0, (*batch, Z, Z)."""
        return torch.zeros_like(self.value).diag_embed()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """The point, again and again."""
        return self.value.expand(*sample_shape, *self.value.shape)

    def entropy(self) -> Tensor:
        """0."""
        return self.value.new_zeros(self.batch_shape)


@register_kl(Delta, Distribution)
def _kl_delta(q: Delta, p: Distribution) -> Tensor:
    """-log p at the point, for a discrete z."""
    return -p.log_prob(q.value)

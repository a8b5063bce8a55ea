"""Laplace likelihoods of real data; the classes differ in the origin of the scale."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Laplace as TorchLaplace

from vi.distributions.moments import mean_of
from vi.likelihoods.location_scale import OwnScaleLikelihood, SharedScaleLikelihood


class _Laplaces:
    """Entries with Laplace noise."""

    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """Return exp(-|x - loc| / scale) / (2 scale) for each entry."""
        return TorchLaplace(loc, scale, validate_args=False)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the median and the mean absolute deviation b, which maximise the likelihood.

        b = 1 for an entry that does not vary.
        """
        loc = x.nanmedian(0).values.nan_to_num()
        scale = mean_of((x - loc).abs())
        return loc, scale.where(scale > 0, torch.ones_like(scale))


class SharedScaleLaplace(_Laplaces, SharedScaleLikelihood):
    """Laplace p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b) / (2 b), with one learned b.

    The decoder outputs mu. For a given b, -log p(x|z) is the absolute error divided by b, up to a
    constant. The standard deviation is sqrt(2) b.

    >>> likelihood = SharedScaleLaplace(scale=0.5)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.zeros(1)).log_prob(torch.ones(1)).detach()
    tensor(-2.)
    """

    def pooled(self, scale: Tensor) -> Tensor:
        """Return the mean of the scales."""
        return scale.mean()


class Laplace(_Laplaces, OwnScaleLikelihood):
    """Laplace p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b_d(z)) / (2 b_d(z)), a scale per entry.

    The decoder outputs mu and b before softplus. The standard deviation is sqrt(2) b.

    >>> import torch
    >>> likelihood = Laplace(floor=0.5)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.tensor([1.0]))
    tensor(-2.)
    """

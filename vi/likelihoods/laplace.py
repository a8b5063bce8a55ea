"""Real data with Laplace noise; the two classes differ in where the scale comes from."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Laplace as TorchLaplace

from vi.distributions.moments import mean_of
from vi.likelihoods.location_scale import OwnScaleLikelihood, SharedScaleLikelihood


class _Laplaces:
    """Entries with Laplace noise."""

    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """exp(-|x - loc| / scale) / (2 scale)."""
        return TorchLaplace(loc, scale, validate_args=False)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maximum of the likelihood; b = 1 of an entry that does not vary."""
        loc = x.nanmedian(0).values.nan_to_num()
        scale = mean_of((x - loc).abs())
        return loc, scale.where(scale > 0, torch.ones_like(scale))


class SharedScaleLaplace(_Laplaces, SharedScaleLikelihood):
    """p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b) / (2 b), with one learned b.

    Up to that scale log p(x|z) is the mean absolute error; the standard deviation is sqrt(2) b.
    """

    def pooled(self, scale: Tensor) -> Tensor:
        """Their mean."""
        return scale.mean()


class Laplace(_Laplaces, OwnScaleLikelihood):
    """p(x|z) = prod_d exp(-|x_d - mu_d(z)| / b_d(z)) / (2 b_d(z)), b from the decoder.

    >>> import torch
    >>> likelihood = Laplace(floor=0.5)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.tensor([1.0]))
    tensor(-2.)
    """

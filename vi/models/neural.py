"""What models of networks do with data before the encoder and behind the decoder."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.affine import affine
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import exposed
from vi.distributions.observed import Observed
from vi.models.base import LatentVariableModel

# An entry whose standard deviation is below this part of its size is constant up to rounding: it
# is centred, but not magnified.
_CONSTANT = 1e-6


class NeuralModel(LatentVariableModel):
    """A model whose p(x|z) is a head behind a network, and whose q(z|x) is behind another.

    An implementer sets ``likelihood_head``.

    Args:
        data_shape: Event shape of x.
        likelihood: The head that gives p(x|z).
        standardize: The networks see (x - mean) / sd of the training data, and p(x|z) is carried
            back, so that log p(x|z) stays a density in the units of the data.
    """

    takes_missing = True
    likelihood_head: ConditionalDistribution
    data_loc: Tensor
    data_scale: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        likelihood: ConditionalDistribution,
        *,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)
        self.standardize = standardize
        likelihood.set_event_shape(self.data_shape)
        if standardize:
            self.register_buffer("data_loc", torch.zeros(self.data_shape))
            self.register_buffer("data_scale", torch.ones(self.data_shape))

    def seen(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """What the encoder reads of x; entries that are not observed are 0 to it."""
        x = self.likelihood_head.encoded(x)
        if self.standardize:
            x = (x - self.data_loc) / self.data_scale
        return x if observed is None else x.where(observed, x.new_zeros(()))

    def decoded(
        self, params: Tensor, observed: Tensor | None, exposure: Tensor | None
    ) -> Distribution:
        """p(x|z) of what the decoder says; ``exposure`` multiplies rates."""
        p = self.likelihood_head(params)
        p = affine(p, self.data_loc, self.data_scale) if self.standardize else p
        p = p if exposure is None else exposed(p, exposure)
        return p if observed is None else Observed(p, observed)

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Take mean and standard deviation of the data to standardise; what is missing is NaN."""
        if self.standardize:
            n = (~x.isnan()).sum(0)
            mean = x.nanmean(0).nan_to_num()  # of a column without data
            scale = ((x - mean).square().nansum(0) / (n - 1).clamp_min(1)).sqrt()
            varies = scale > _CONSTANT * x.nan_to_num().abs().amax(0)
            self.data_loc.copy_(mean)
            self.data_scale.copy_(scale.where(varies, torch.ones_like(scale)))

"""Factor analysis."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vi.errors import require_positive
from vi.models.linear_gaussian import LinearGaussian

# An entry whose variance is below this part of its square is constant up to rounding.
_CONSTANT = 1e-12


class FactorAnalysis(LinearGaussian):
    """p(z) = N(0, I), p(x|z) = N(W z + mu, Psi), with a variance in Psi for each entry of x.

    Without a bound log p(x) can grow forever, as one entry becomes a factor and its variance goes
    to 0 (a Heywood case). So Psi_d >= floor * Var(x_d), and the M-step is the maximum under this
    constraint: the energy of an entry has one peak in Psi_d, which makes it the larger of peak and
    floor, and EM still never falls. Where x_d is constant the mean variance stands for its own.

    Args:
        data_shape: Shape of one datum; x is flat, (D,).
        latent_dim: Z, less than D.
        floor: The least noise of an entry, as a part of its variance in the training data.

    Raises:
        ConfigurationError: latent_dim is not between 1 and D - 1, or floor is not positive.

    Reference: Rubin and Thayer, 1982, https://doi.org/10.1007/BF02293851

    >>> model = FactorAnalysis((6,), latent_dim=2)
    >>> model.likelihood(torch.zeros(5, 2)).variance.shape
    torch.Size([5, 6])
    """

    least_variance: Tensor

    def __init__(self, data_shape: Sequence[int], latent_dim: int, floor: float = 1e-6) -> None:
        super().__init__(data_shape, latent_dim)
        require_positive("floor", floor)
        self.floor = floor
        self.log_scale = nn.Parameter(torch.zeros_like(self.loc))
        self.register_buffer("least_variance", torch.zeros_like(self.origin))

    def noise_variance(self, variance: Tensor) -> Tensor:
        """Of each entry its own, from the floor up."""
        return torch.maximum(variance, self.least_variance)

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """See ``LinearGaussian``; and the floor is set."""
        x = x.to(self.weight.dtype)
        variance = x.var(0, correction=0)
        varies = variance > _CONSTANT * x.square().amax(0)
        self.least_variance.copy_(self.floor * variance.where(varies, variance.mean()))
        super().initialize(x, **given)

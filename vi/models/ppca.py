"""Probabilistic principal component analysis."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vi.inference.base import Inference
from vi.models.linear_gaussian import LinearGaussian


class PPCA(LinearGaussian):
    """Probabilistic PCA: p(z) = N(0, I), p(x|z) = N(W z + mu, s^2 I).

    At the maximum of the likelihood W spans the principal axes of the data.

    Args:
        data_shape: Shape of one datum; the model flattens x to (D,).
        latent_dim: Z, less than D.
        inference: Replaces the exact posterior as q(z|x), if given.

    Raises:
        ConfigurationError: ``latent_dim`` is not between 1 and D - 1.

    Reference: Tipping and Bishop, 1999, https://doi.org/10.1111/1467-9868.00196

    >>> model = PPCA((8, 8), latent_dim=2)
    >>> model.data_shape, model.log_evidence(torch.zeros(5, 64)).shape
    ((64,), torch.Size([5]))
    """

    def __init__(
        self,
        data_shape: Sequence[int],
        latent_dim: int,
        *,
        inference: Inference | None = None,
    ) -> None:
        super().__init__(data_shape, latent_dim)
        self.log_scale = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.infer_with(inference)

    def noise_variance(self, variance: Tensor) -> Tensor:
        """Return s^2, the mean residual variance over the entries."""
        return variance.mean()

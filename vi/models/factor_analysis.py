"""Factor analysis."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vi.errors import require_positive
from vi.inference.base import Inference
from vi.models.linear_gaussian import WIDE, LinearGaussian, whole_rows

# An entry whose standard deviation is below this part of its size is constant up to rounding.
_CONSTANT = 1e-14
# Of the mean variance: the least floor of such an entry, of which no variance is known.
_CONSTANT_FLOOR = 1e-6
_START_ITERATIONS = 50  # of EM, before starts are compared


class FactorAnalysis(LinearGaussian):
    """p(z) = N(0, I), p(x|z) = N(W z + mu, Psi), with a variance in Psi for each entry of x.

    Without a bound log p(x) can grow forever, as one entry becomes a factor and its variance goes
    to 0 (a Heywood case). So Psi_d >= floor * Var(x_d), and the M-step is the maximum under this
    constraint: the energy of an entry has one peak in Psi_d, which makes it the larger of peak and
    floor, and EM still never falls. Where x_d is constant the mean variance stands for its own,
    and the floor is at least 1e-6.

    Args:
        data_shape: Shape of one datum; x is flat, (D,).
        latent_dim: Z, less than D.
        floor: The least noise of an entry, as a part of its variance in the training data.
        restarts: So many starts run 50 iterations of EM, and the best goes on; log p(x) has
            local maxima.
        inference: Gives q(z|x) in place of the exact posterior, if it is given.

    Raises:
        ConfigurationError: latent_dim is not between 1 and D - 1, or floor or restarts is not
            positive.

    Reference: Rubin and Thayer, 1982, https://doi.org/10.1007/BF02293851

    >>> model = FactorAnalysis((6,), latent_dim=2)
    >>> model.likelihood(torch.zeros(5, 2)).variance.shape
    torch.Size([5, 6])
    """

    least_variance: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        latent_dim: int,
        floor: float = 1e-12,
        restarts: int = 5,
        *,
        inference: Inference | None = None,
    ) -> None:
        super().__init__(data_shape, latent_dim)
        require_positive("floor", floor)
        require_positive("restarts", restarts)
        self.floor, self.restarts = floor, restarts
        self.log_scale = nn.Parameter(torch.zeros_like(self.loc))
        self.register_buffer("least_variance", torch.zeros_like(self.origin))
        self.infer_with(inference)

    def noise_variance(self, variance: Tensor) -> Tensor:
        """Of each entry its own, from the floor up."""
        return torch.maximum(variance, self.least_variance)

    def condensed(self, centred: Float[Tensor, "N D"]) -> Float[Tensor, "n D"]:
        """See ``LinearGaussian``; of so many random data where N and D are greater.

        The noise of every entry has to be in them, and not the principal axes alone.
        """
        if min(centred.shape) > WIDE:
            centred = centred[torch.randperm(len(centred), device=centred.device)[:WIDE]]
        return whole_rows(centred)

    def begin(self, rows: Float[Tensor, "n D"], variance: Float[Tensor, " D"]) -> None:
        """Where the best of ``restarts`` starts has come to by EM on rows of the same covariance.

        The first starts from the principal axes of the standardised data, the others from those
        in random units.
        """
        varies = variance > (_CONSTANT * self.origin).square()
        usual = variance.where(varies, variance.mean())
        floor = torch.full_like(usual, self.floor)
        floor = floor.where(varies, max(self.floor, _CONSTANT_FLOOR))
        self.least_variance.copy_(floor * usual)
        best, state = -math.inf, {}
        for i in range(self.restarts):
            unit = usual.sqrt() * (torch.rand_like(usual).sqrt() if i else 1)
            self._span(rows, variance, unit)
            level = self._climb(torch.cat([rows, -rows]) * math.sqrt(len(rows)))
            if level > best:
                best, state = level, {k: v.clone() for k, v in self.state_dict().items()}
        self.load_state_dict(state)

    def _climb(self, rows: Float[Tensor, "n D"]) -> float:
        """log p(x) per datum after a few iterations of EM on these rows about the origin."""
        rows = rows + self.origin
        for _ in range(_START_ITERATIONS):
            statistics = self.e_step(rows)
            self.m_step(statistics)
            self.reduce(statistics)
        return float(self.log_evidence(rows).mean())

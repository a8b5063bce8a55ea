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
# The least floor of such an entry, relative to the mean variance: its own variance is unknown.
_CONSTANT_FLOOR = 1e-6
_START_ITERATIONS = 50  # iterations of EM before starts are compared


class FactorAnalysis(LinearGaussian):
    """Factor analysis: p(z) = N(0, I), p(x|z) = N(W z + mu, Psi) with a diagonal Psi.

    Without a lower bound on Psi, log p(x) can be unbounded: one entry becomes a factor and its
    variance goes to 0 (a Heywood case). Therefore Psi_d >= floor * Var(x_d), and the M-step is the
    maximum under this constraint. The energy has one peak in Psi_d, so the constrained maximum is
    the larger of peak and floor, and EM still never lowers the objective. Where x_d is constant,
    the mean variance of the entries replaces Var(x_d), and the floor is at least 1e-6 of it.

    Args:
        data_shape: Shape of one datum; the model flattens x to (D,).
        latent_dim: Z, less than D.
        floor: Smallest noise variance of an entry, relative to its variance in the training data.
        restarts: Number of starts; each runs 50 iterations of EM, and the best continues, since
            log p(x) has local maxima.
        inference: Replaces the exact posterior as q(z|x), if given.

    Raises:
        ConfigurationError: ``latent_dim`` is not between 1 and D - 1, or ``floor`` or ``restarts``
            is not positive.

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
        """Return the given variance of each entry, raised to the floor."""
        return torch.maximum(variance, self.least_variance)

    def condensed(self, centred: Float[Tensor, "N D"]) -> Float[Tensor, "n D"]:
        """Return rows R with R'R the covariance, of 1024 random data if N and D are greater.

        The start needs the noise of all entries, so the principal axes alone do not suffice.
        """
        if min(centred.shape) > WIDE:
            centred = centred[torch.randperm(len(centred), device=centred.device)[:WIDE]]
        return whole_rows(centred)

    def begin(self, rows: Float[Tensor, "n D"], variance: Float[Tensor, " D"]) -> None:
        """Set the parameters to the best of ``restarts`` starts after a few iterations of EM.

        EM runs on rows with the same covariance as the data. The first start is PPCA of the
        standardised data, the others are PPCA in random units of the entries.
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
        """Run some iterations of EM on these rows; return log p(x) per datum in nats."""
        rows = rows + self.origin
        for _ in range(_START_ITERATIONS):
            statistics = self.e_step(rows)
            self.m_step(statistics)
            self.reduce(statistics)
        return float(self.log_evidence(rows).mean())

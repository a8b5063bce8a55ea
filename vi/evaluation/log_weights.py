"""What is kept of importance weights that come in blocks."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vi.evaluation.pareto import pareto_k, tail_size

_ROUNDINGS = 32  # of log p(x, z), within which log-weights are equal


class Estimates(NamedTuple):
    """log p(x) of each datum and how it was spread, in the order of ``LogLikelihood``."""

    value: Float[Tensor, " B"]
    standard_error: Float[Tensor, " B"]
    effective_sample_size: Float[Tensor, " B"]
    pareto_k: Float[Tensor, " B"]


class LogWeights:
    """What is kept of log-weights (K, B) that come in blocks: sums, extremes, and the tail.

    The memory does not grow with K, except for the tail, which has 3 sqrt(K) weights.

    Args:
        num_samples: The largest K of ``estimates``.

    >>> seen = LogWeights(100)
    >>> for _ in range(2):
    ...     seen.add(torch.full((50, 3), -7.0), torch.zeros(50, 3))
    >>> seen.estimates(100).value, seen.estimates(100).pareto_k
    (tensor([-7., -7., -7.], dtype=torch.float64), tensor([-inf, -inf, -inf], dtype=torch.float64))
    """

    def __init__(self, num_samples: int) -> None:
        self.num_largest = tail_size(num_samples) + 1
        self.drawn = 0  # an ensemble draws K for each encoder
        self.kept: tuple[Tensor, ...] = ()

    def add(self, log_joint: Float[Tensor, "K B"], log_q: Float[Tensor, "K B"]) -> None:
        """Take in log p(x, z) and log q(z|x) of a block of draws."""
        log_w = (log_joint - log_q).double()
        self.drawn += len(log_w)
        eps = _ROUNDINGS * torch.finfo(log_joint.dtype).eps
        size = log_joint.abs()
        block = (
            log_w.logsumexp(0),
            (2 * log_w).logsumexp(0),
            log_w.amin(0),
            eps * size.where(size < math.inf, 0.0).amax(0).double(),
            self._tail(log_w),
        )
        self.kept = self._merged(self.kept, block) if self.kept else block

    def keep(self, rows: Tensor) -> None:
        """Forget all data but these rows, (B',)."""
        self.kept = tuple(part[..., rows] for part in self.kept)

    def estimates(self, num_samples: int) -> Estimates:
        """log p(x), its standard error, the effective sample size and k, (B,) each.

        Where all weights are equal up to rounding k = -inf; where all are 0, log p(x) >= -inf is
        all that is known: the error and k are inf, the effective sample size is 0.

        Args:
            num_samples: K so far, which sets the size of the tail.
        """
        log_sum, log_sum_squares, least, rounding, largest = self.kept
        largest = largest[: tail_size(num_samples) + 1]
        ess = (2 * log_sum - log_sum_squares).exp()
        error = (1 / ess - 1 / self.drawn).clamp_min(0).sqrt()
        vary, none = largest[0] - least > rounding, log_sum == -math.inf
        error, k = error.where(vary, 0.0), pareto_k(largest).where(vary, -math.inf)
        error, k = error.where(~none, math.inf), k.where(~none, math.inf)
        if self.drawn == 1:
            error, k = torch.full_like(error, math.nan), torch.full_like(k, math.nan)
        return Estimates(log_sum - math.log(self.drawn), error, ess.where(~none, 0.0), k)

    def _merged(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (
            a[0].logaddexp(b[0]),
            a[1].logaddexp(b[1]),
            a[2].minimum(b[2]),
            a[3].maximum(b[3]),
            self._tail(torch.cat([a[4], b[4]])),
        )

    def _tail(self, log_w: Tensor) -> Tensor:
        """The largest of them, in descending order."""
        return log_w.topk(min(self.num_largest, len(log_w)), 0).values

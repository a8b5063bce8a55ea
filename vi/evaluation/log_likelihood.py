"""log p(x) by importance sampling from q(z|x), with its standard error."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.errors import require_positive
from vi.evaluation.pareto import pareto_k, tail_size
from vi.evaluation.reliability import reliable
from vi.fast import session
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.progress import watched

__all__ = ["LogLikelihood"]

# Samples drawn at once, and decoded entries held for them. The activations of a decoder dominate
# the memory, and those of two thousand rows still fit a processor's cache. These are constants, so
# that the noise of a datum does not depend on the batch that contains it.
DATA_AT_ONCE = 16
_SAMPLES = {"cpu": 128, "cuda": 4096}
_ROUNDINGS = 32  # of log p(x, z), within which log-weights are equal
_ENTRIES = {"cpu": 1 << 21, "cuda": 1 << 26}


class LogLikelihood(NamedTuple):
    """An estimate of log p(x) for each datum, in nats.

    ``value`` is a lower bound in expectation, too low by about its squared ``standard_error`` / 2.
    Where ``reliable``, value +- 2 standard errors is a 95 % interval. Elsewhere q missed what
    matters of the posterior: read "log p(x) >= value". By Markov's inequality log p(x) is above
    value - 3 with a probability of 95 %, whatever q is. ``pareto_k`` is -inf where all weights are
    equal up to rounding: the value is exact.
    """

    value: Float[Tensor, " B"]
    standard_error: Float[Tensor, " B"]
    effective_sample_size: Float[Tensor, " B"]
    pareto_k: Float[Tensor, " B"]
    reliable: Bool[Tensor, " B"]


def chunks(num_samples: int, x: Tensor) -> Iterator[int]:
    """Yield the numbers of samples, of K in all, to draw at once for data (B, *event).

    The number is smaller for data with more entries, so that memory stays bounded.

    >>> list(chunks(300, torch.zeros(16, 28, 28))), list(chunks(30, torch.zeros(16, 3, 64, 64)))
    ([128, 128, 44], [10, 10, 10])
    """
    kind = x.device.type if x.device.type in _SAMPLES else "cpu"
    fitting = _ENTRIES[kind] // (DATA_AT_ONCE * x[0].numel())
    size = max(1, min(_SAMPLES[kind], fitting))
    for start in range(0, num_samples, size):
        yield min(size, num_samples - start)


@admitting
@torch.no_grad()
def log_likelihood(
    model: LatentVariableModel, x: Tensor, num_samples: int = 5000, **given: Tensor
) -> LogLikelihood:
    """log (1/K) sum_k w_k with w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x).

    The standard error is that of the delta method, sd(w) / (sqrt(K) mean(w)), NaN for one sample;
    the effective sample size is (sum w)^2 / sum w^2. Both look honest where q is too narrow: what
    says so is k, the shape of the tail of the weights, pooled over these data (see ``reliable``).
    Streams over data and samples, so that the memory grows with neither.

    Args:
        model: Gives p(x, z) and q(z|x).
        x: Data (B, *event).
        num_samples: K; for an ensemble of encoders, K draws from each.
        **given: What the model conditions on.

    Returns:
        Tensors (B,), at least in the precision of the log-weights.

    Raises:
        ConfigurationError: ``num_samples`` is not positive.
        DataError: There are no data, or the model cannot take them.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 4

    With the exact posterior as q every weight is p(x), and the estimate has no error:

    >>> from vi.models.ppca import PPCA
    >>> model, x = PPCA((4,), latent_dim=2), torch.ones(3, 4, dtype=torch.float64)
    >>> found = log_likelihood(model, x, num_samples=10)
    >>> torch.allclose(found.value, model.log_evidence(x))
    True
    >>> found.standard_error.max().item() < 1e-6
    True
    """
    require_positive("num_samples", num_samples)
    groups = []
    with session(None, model):
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            group = {k: v[rows] for k, v in given.items()}
            groups.append(_log_likelihood(model, x[rows], num_samples, **group))
    value, error, ess, k = (torch.cat(parts) for parts in zip(*groups, strict=True))
    return LogLikelihood(value, error, ess, k, reliable(k, num_samples))


def _log_likelihood(
    model: LatentVariableModel, x: Tensor, num_samples: int, **given: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q = model.posterior(x, **given)
    seen = _Weights(tail_size(num_samples) + 1)
    for size in watched(list(chunks(num_samples, x))):
        at = draw(q, size)
        seen.add(model.log_joint(x, at.z, **given), at.log_q)
    return seen.estimate()


class _Weights:
    """What is kept of log-weights (K, B) that come in blocks: sums, extremes, and the tail.

    Args:
        num_largest: How many of the largest.
    """

    def __init__(self, num_largest: int) -> None:
        self.num_largest, self.drawn = num_largest, 0  # an ensemble draws K for each encoder
        self.kept: tuple[Tensor, ...] | None = None

    def add(self, log_joint: Float[Tensor, "K B"], log_q: Float[Tensor, "K B"]) -> None:
        """Take in log p(x, z) and log q(z|x) of a block of draws."""
        log_w = (log_joint - log_q).double()
        self.drawn += len(log_w)
        eps = _ROUNDINGS * torch.finfo(log_joint.dtype).eps
        block = (
            log_w.logsumexp(0),
            (2 * log_w).logsumexp(0),
            log_w.amin(0),
            eps * log_joint.abs().amax(0).double(),
            log_w.topk(min(self.num_largest, len(log_w)), 0).values,
        )
        self.kept = block if self.kept is None else self._merged(self.kept, block)

    def _merged(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        largest = torch.cat([a[4], b[4]])
        return (
            a[0].logaddexp(b[0]),
            a[1].logaddexp(b[1]),
            a[2].minimum(b[2]),
            a[3].maximum(b[3]),
            largest.topk(min(self.num_largest, len(largest)), 0).values,
        )

    def estimate(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log p(x), its standard error, the effective sample size and k, (B,) each."""
        assert self.kept is not None  # there is at least one block
        log_sum, log_sum_squares, least, rounding, largest = self.kept
        ess = (2 * log_sum - log_sum_squares).exp()
        error = (1 / ess - 1 / self.drawn).clamp_min(0).sqrt()
        vary = largest[0] - least > rounding
        error, k = error.where(vary, 0.0), pareto_k(largest).where(vary, -math.inf)
        if self.drawn == 1:
            error, k = torch.full_like(error, math.nan), torch.full_like(k, math.nan)
        return log_sum - math.log(self.drawn), error, ess, k

"""log p(x) by importance sampling from q(z|x), with its standard error."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.errors import require_positive
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
_ENTRIES = {"cpu": 1 << 21, "cuda": 1 << 26}


class LogLikelihood(NamedTuple):
    """An estimate of log p(x) for each datum, in nats.

    ``value`` is biased downwards by about half its squared ``standard_error``.
    """

    value: Float[Tensor, " B"]
    standard_error: Float[Tensor, " B"]
    effective_sample_size: Float[Tensor, " B"]


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

    The standard error is that of the delta method, sd(w) / (sqrt(K) mean(w)); it is NaN for K = 1.
    The effective sample size is (sum w)^2 / sum w^2. Data and samples are processed in blocks, so
    the memory does not grow with their number.

    Args:
        model: Gives p(x, z) and q(z|x).
        x: Data (B, *event).
        num_samples: K; for an ensemble of encoders, K draws from each.
        **given: What the model conditions on.

    Returns:
        Three tensors (B,), at least in the precision of the log-weights.

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
    return LogLikelihood(*(torch.cat(parts) for parts in zip(*groups, strict=True)))


def _log_likelihood(
    model: LatentVariableModel, x: Tensor, num_samples: int, **given: Tensor
) -> LogLikelihood:
    """Estimate log p(x) of one block of data, drawing K samples in chunks."""
    q = model.posterior(x, **given)
    sizes = list(chunks(num_samples, x))
    # One block for all sums: small tensors between large freed ones would keep their memory alive.
    sums = torch.empty(2, len(sizes), len(x), dtype=torch.float64, device=x.device)
    drawn = 0  # K; for an ensemble of M encoders M K
    for number, size in enumerate(watched(sizes)):
        at = draw(q, size)
        log_w = (model.log_joint(x, at.z, **given) - at.log_q).double()
        drawn += len(log_w)
        sums[0, number] = log_w.logsumexp(0)
        sums[1, number] = (2 * log_w).logsumexp(0)
    log_sum, log_sum_squares = sums.logsumexp(1)
    ess = (2 * log_sum - log_sum_squares).exp()
    relative_variance = (1 / ess - 1 / drawn).clamp_min(0)
    if drawn == 1:
        relative_variance = torch.full_like(ess, math.nan)
    return LogLikelihood(log_sum - math.log(drawn), relative_variance.sqrt(), ess)

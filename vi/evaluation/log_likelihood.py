"""log p(x) by importance sampling from q(z|x), with its standard error."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import groups_of_rows, item, skip_draws
from vi.distributions.draw import draw
from vi.distributions.widened import Widened
from vi.errors import ConfigurationError, NumericsError, out_of_memory, require_positive
from vi.evaluation.log_weights import LogWeights
from vi.evaluation.reliability import LEAST_SAMPLES, reliable
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

    ``value`` is a lower bound in expectation, too low by about its squared ``standard_error`` / 2.
    Where ``reliable``, value +- 2 standard errors is a 95 % interval. Elsewhere q missed what
    matters of the posterior: read "log p(x) >= value". By Markov's inequality log p(x) is above
    value - 3 with a probability of 95 %, whatever q is. ``pareto_k`` is -inf where all weights are
    equal up to rounding: the value is exact. Where all weights are 0 the value is -inf.
    ``num_samples`` is K, which differs between data only if a standard error was asked for.
    """

    value: Float[Tensor, " B"]
    standard_error: Float[Tensor, " B"]
    effective_sample_size: Float[Tensor, " B"]
    pareto_k: Float[Tensor, " B"]
    reliable: Bool[Tensor, " B"]
    num_samples: Int64[Tensor, " B"]


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
    model: LatentVariableModel,
    x: Tensor,
    num_samples: int = 5000,
    *,
    target_se: float | None = None,
    widen: float | None = None,
    **given: Tensor,
) -> LogLikelihood:
    """log (1/K) sum_k w_k with w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x).

    The standard error is that of the delta method, sd(w) / (sqrt(K) mean(w)), NaN for one sample;
    the effective sample size is (sum w)^2 / sum w^2. Both look honest where q is too narrow: what
    says so is k, the shape of the tail of the weights, pooled over these data (see ``reliable``).
    Streams over data and samples, so that the memory grows with neither.

    Args:
        model: Gives p(x, z) and q(z|x).
        x: Data (B, *event).
        num_samples: K; for an ensemble of encoders, K draws from each. The largest K with
            ``target_se``.
        target_se: A datum gets no more draws once its own standard error, in nats, is at most
            this; its bias, about se^2 / 2, is then small too. It is looked at only at K = 2 000,
            4 000, 8 000, .., because an estimate that may stop at any time stops where it happens
            to miss the tail of the weights.
        widen: Take one half of the draws from q with its deviations from the mean multiplied by
            this, and weight all of them by the mixture of both; see ``Widened``.
        **given: What the model conditions on.

    Returns:
        Tensors (B,), at least in the precision of the log-weights.

    Raises:
        ConfigurationError: ``num_samples`` or ``target_se`` is not positive, q has no density, or
            q cannot be widened.
        DataError: There are no data, or the model cannot take them.
        NumericsError: A log-weight is NaN or +inf, or the memory ran out.

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
    if target_se is not None:
        require_positive("target_se", target_se)
    looks = [num_samples] if target_se is None else looks_of(num_samples)
    target = 0.0 if target_se is None else target_se
    groups = []
    with session(None, model), _within_memory():
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            group = {k: v[rows] for k, v in given.items()}
            q = model.posterior(x[rows], **group)
            q = q if widen is None else Widened(q, widen)
            groups.append(_by_looks(model, x[rows], q, looks, target, group))
    value, error, ess, k, drawn = torch.cat(groups, -1)
    _require_numbers(value)
    return LogLikelihood(value, error, ess, k, reliable(k, drawn), drawn.long())


def looks_of(num_samples: int) -> list[int]:
    """The K at which an estimate may stop: 2 000, doubled until the largest K.

    >>> looks_of(10_000), looks_of(500)
    ([2000, 4000, 8000, 10000], [500])
    """
    looks = [LEAST_SAMPLES]
    while looks[-1] < num_samples:
        looks.append(2 * looks[-1])
    return [*looks[:-1], num_samples]


def _by_looks(
    model: LatentVariableModel,
    x: Tensor,
    q: Distribution,
    looks: Sequence[int],
    target_se: float,
    given: Mapping[str, Tensor],
) -> Float64[Tensor, "5 B"]:
    """Draw for every datum until its error is small enough; return its estimates and its K."""
    seen, found = LogWeights(looks[-1]), x.new_empty((5, len(x)), dtype=torch.float64)
    rows = torch.arange(len(x), device=x.device)  # that want more draws
    for before, upto in watched(list(pairwise([0, *looks]))):
        sizes = list(chunks(upto - before, x))
        if not len(rows):
            skip_draws(len(sizes))
            continue
        _weigh(model, x, q, sizes, rows, seen, given)
        found[:4, rows] = torch.stack(seen.estimates(upto))
        found[4, rows] = upto
        if upto < looks[-1]:
            wanting = ~(found[1, rows] <= target_se)
            rows = rows[wanting]
            seen.keep(wanting)
    return found


def _weigh(
    model: LatentVariableModel,
    x: Tensor,
    q: Distribution,
    sizes: Sequence[int],
    rows: Tensor,
    seen: LogWeights,
    given: Mapping[str, Tensor],
) -> None:
    """Draw so many z of every datum at a time, and weigh those of some rows.

    The noise of a datum must not depend on which others want more; drawing it costs little beside
    the decoder.
    """
    at = slice(None) if len(rows) == len(x) else rows
    given = {name: value[at] for name, value in given.items()}
    for size in watched(sizes):
        z, log_q = _scored(q, size)
        seen.add(model.log_joint(x[at], z[:, at], **given), log_q[:, at])


def _scored(q: Distribution, size: int) -> tuple[Tensor, Tensor]:
    """Return draws of q with their log-density."""
    try:
        at = draw(q, size)
        return at.z, at.log_q
    except NotImplementedError:
        raise ConfigurationError(
            f"{type(q).__name__} cannot be drawn and scored, as importance sampling needs",
            hint="give q(z|x) rsample or sample, and log_prob; the ELBO may need neither",
        ) from None


def _require_numbers(value: Tensor) -> None:
    """Refuse estimates of log-weights that are NaN or +inf; all weights may be 0."""
    bad = value.isnan() | (value == math.inf)
    if bad.any():
        first = item(int(bad.nonzero()[0, 0]))
        raise NumericsError(
            f"log p(x, z) - log q(z|x) is NaN or infinite for {int(bad.sum())} of {len(bad)} data "
            f"(first: item {first})",
            hint="look at the model's log_joint and at q(z|x) there; model.double() may help",
        )


@contextmanager
def _within_memory() -> Iterator[None]:
    """Say in one line that the memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise NumericsError(
            f"the memory ran out while {DATA_AT_ONCE} data were weighed: "
            f"{(str(error) or 'MemoryError').splitlines()[0]}",
            hint="free memory, or use another device (device=cpu); K and the batch size, however "
            "small, do not change how much is needed",
        ) from error

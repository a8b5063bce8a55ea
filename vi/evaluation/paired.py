"""Paired differences of log p(x) between models, with simultaneous intervals over data."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from vi.evaluation.reliability import reliable

_RESAMPLES, _AT_ONCE = 2000, 1 << 22  # resamples, and counts that are held at once
_COVERAGE = 0.95
_ROUNDING = 1e-6  # relative error of log p(x) in single precision
_NORMAL = 1.96  # half of the width of an interval of this coverage, in standard errors


class Scores(NamedTuple):
    """log p(x) of each datum under one model.

    Args:
        value: In nats; exact, or a log-mean-exp, which is too low by about error^2 / 2.
        error: Its Monte-Carlo standard error; 0 where it is exact.
        bounded: Whether an interval of the mean is stated. If not, the mean is a lower bound.
        samples: K; None if the values are exact.
    """

    value: Float64[Tensor, " N"]
    error: Float64[Tensor, " N"]
    bounded: bool
    samples: int | None = None

    @property
    def allowance(self) -> float:
        """Room above the mean for the bias of the logarithm, 2 mean(error^2), in nats."""
        return 2 * self.error.square().mean().item()


class Difference(NamedTuple):
    """The mean over data of log p_a(x) - log p_b(x), in nats per datum.

    Args:
        value: The mean over the test data.
        lower: Lower end of its 95 % interval over data, -inf if b is only bounded from below.
        upper: Upper end, inf if a is only bounded from below.
        error: Standard error of the mean over data, which contains the Monte-Carlo error.
        monte_carlo: The part of it that more draws of z remove.
        allowance: Room for the bias of logarithms in half the width of the interval.
        count: N, the number of data.
        reach: c, half of the interval's width in standard errors, without the allowance.
    """

    value: float
    lower: float
    upper: float
    error: float
    monte_carlo: float
    allowance: float
    count: int
    reach: float = _NORMAL

    @property
    def sign(self) -> int:
        """1 if a is better, -1 if b is, 0 if the interval contains 0: undecided."""
        return (self.lower > 0) - (self.upper < 0)

    def reversed(self) -> "Difference":
        """Return the difference b - a."""
        return self._replace(value=-self.value, lower=-self.upper, upper=-self.lower)


class Needed(NamedTuple):
    """What would decide an undecided difference, if it is what it looks like.

    Args:
        data: Number of test data; None if no number would.
        samples: Factor by which K must rise; None if more draws would not decide it.
    """

    data: int | None
    samples: float | None


def scores(columns: Mapping[str, Tensor], numbers: Mapping[str, float]) -> Scores:
    """Return log p(x) of each datum from what ``measure`` returns.

    An exact model is taken at its word. Where an escalation had a budget, only a random part S of
    the data U that needed it was measured again. Then the value of a datum is the one whose mean
    is the difference estimator, and whose variance has its sampling error: with the first estimate
    v, the last w, and their mean difference m over S,

        v_n + 1[n in U] m + 1[n in S] (|U| / |S|) (w_n - v_n - m).

    Args:
        columns: By name, (N,) each.
        numbers: Of the same data.
    """
    if "log_evidence" in columns:
        value = columns["log_evidence"].double()
        return Scores(value, torch.zeros_like(value), True)
    value, error = columns["log_likelihood"].double(), columns["standard_error"].double()
    samples = int(numbers.get("log_likelihood_samples", 0)) or None
    if numbers.get("rung_waiting") and samples:
        first = columns["encoder_log_likelihood"].double()
        needing = ~reliable(columns["encoder_pareto_k"], samples)
        value = _corrected(first, value, columns["rung"] > columns["rung"].min(), needing)
    return Scores(value, error, "log_likelihood_upper" in numbers, samples)


def differences(
    models: Sequence[Scores], resamples: int = _RESAMPLES, seed: int = 0
) -> dict[tuple[int, int], Difference]:
    """Compare all pairs of models on the same data.

    The interval of a pair is m +- c se with m the mean difference, se = sd / sqrt(N), and c the
    95 % quantile of max |m* - m| / se* over all pairs, in resamples of the data with replacement.
    All intervals hold together with a probability of 95 %, so the best of many may be chosen by
    looking at them. The standard deviation over data contains the Monte-Carlo error of each datum,
    which is independent between data. The bias of the logarithm does not average out, nor does
    rounding: each end has room for both. An end that would need an upper bound of a model that
    has none is infinite, so that a model with a lower bound can win and never lose.

    Args:
        models: Two or more, on the same data in the same order.
        resamples: Number of resamples.
        seed: Of the resamples.

    Returns:
        The difference a - b by (a, b) with a < b.

    Reference: Hall, 1988, https://doi.org/10.1214/aos/1176350933, for symmetric studentised
    intervals; Romano and Wolf, 2005, https://doi.org/10.1198/016214504000000539, for their maximum

    >>> exact = [Scores(torch.arange(50.0).double() + a, torch.zeros(50).double(), True)
    ...          for a in (1.5, 1.0)]
    >>> found = differences(exact)[0, 1]
    >>> round(found.lower, 3), found.value, round(found.upper, 3), found.sign
    (0.5, 0.5, 0.5, 1)
    """
    pairs = list(combinations(range(len(models)), 2))
    apart = torch.stack([models[a].value - models[b].value for a, b in pairs], 1)
    reach = _quantile(apart, resamples, seed) if len(apart) > 1 else math.inf
    return {
        (a, b): _difference(models[a], models[b], apart[:, i], reach)
        for i, (a, b) in enumerate(pairs)
    }


def needed(found: Difference) -> Needed:
    """Return how many test data, or how many more draws of z, would decide a difference.

    With the standard deviations s of the data and e of the Monte-Carlo error of a datum, and room
    r for the bias, N data and K' draws decide m if c sqrt((s^2 + e^2 K / K') / N) + r K / K' is
    below |m|. The estimate supposes that m stays what it is.

    >>> found = Difference(0.1, -0.1, 0.3, 0.1, 0.08, 0.0, 100)
    >>> needed(found)
    Needed(data=385, samples=None)
    """
    size = abs(found.value)
    room = size - found.allowance
    data = math.ceil(found.count * (found.reach * found.error / room) ** 2) if room > 0 else None
    over_data = max(0.0, found.error**2 - found.monte_carlo**2)

    def decides(factor: float) -> bool:
        error = math.sqrt(over_data + found.monte_carlo**2 / factor)
        return found.reach * error + found.allowance / factor < size

    factors = (2.0**power for power in range(1, 11))
    return Needed(data, next((factor for factor in factors if decides(factor)), None))


def rounding(a: Scores, b: Scores) -> float:
    """Room for the rounding of both models' log p(x), in nats."""
    return _ROUNDING * sum(model.value.abs().mean().item() for model in (a, b))


def _corrected(
    first: Float64[Tensor, " N"],
    last: Float64[Tensor, " N"],
    measured: Bool[Tensor, " N"],
    needing: Bool[Tensor, " N"],
) -> Float64[Tensor, " N"]:
    """Values whose mean is the difference estimator; see ``scores``."""
    needing = needing | measured
    apart = last - first
    mean = apart[measured].mean()
    share = needing.sum() / measured.sum()
    return first + needing * mean + (share * (apart - mean)).where(measured, 0.0)


def _difference(a: Scores, b: Scores, apart: Float64[Tensor, " N"], reach: float) -> Difference:
    value, n = apart.mean().item(), len(apart)
    error = apart.std().item() / math.sqrt(n) if n > 1 else math.inf
    half = (reach * error if error else 0.0) + rounding(a, b)
    noise = (a.error.square() + b.error.square()).sum().sqrt().item() / n
    return Difference(
        value,
        value - half - b.allowance if b.bounded else -math.inf,
        value + half + a.allowance if a.bounded else math.inf,
        error,
        min(noise, error),  # models that share their noise have a smaller one
        max(a.allowance, b.allowance),
        n,
        reach,
    )


def _quantile(apart: Float64[Tensor, "N P"], resamples: int, seed: int) -> float:
    """The 95 % quantile of the largest studentised deviation in resamples of the data."""
    n = len(apart)
    centred = apart - apart.mean(0)
    random = torch.Generator().manual_seed(seed)
    largest = []
    for size in _parts(resamples, max(1, _AT_ONCE // n)):
        rows = torch.randint(n, (size, n), generator=random)
        counts = torch.zeros(size, n, dtype=apart.dtype)
        counts.scatter_add_(1, rows, torch.ones_like(counts))
        mean = counts @ centred / n
        variance = (counts @ centred.square() / n - mean.square()).clamp_min(0) / (n - 1)
        largest.append((mean.abs() / variance.sqrt()).nan_to_num(0.0, math.inf).amax(1))
    return torch.cat(largest).quantile(_COVERAGE, interpolation="higher").item()


def _parts(whole: int, size: int) -> list[int]:
    return [min(size, whole - start) for start in range(0, whole, size)]

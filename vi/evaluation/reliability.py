"""Whether an importance-sampling estimate of log p(x) can be trusted."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

LEAST_SAMPLES = 2000
"""Draws of z below which no interval is stated: the tail that shows k has too few weights."""

_GREATEST_K, _FEW_DATA = 0.5, 8


def reliable(k: Float[Tensor, " N"], num_samples: int | Num[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """Whether value +- 2 standard errors covers log p(x), for each datum of an evaluation.

    One k is a noisy witness: a sample that missed the tail of the weights shows a small k and too
    small a value, so that the data with the smallest k would be the worst. All data of an
    evaluation share one encoder, so their k are shrunk towards the median,

        k~_n = m + (k_n - m) tau^2 / (tau^2 + s_n^2),   s_n = (1 + max(k_n, 0)) / sqrt(M),

    with M weights in the tail, m the median and tau^2 = max(0, var(k) - mean(s^2)) the variance
    between data. A datum is reliable if k~ < 1/2, below which the weights have a variance, and
    K >= 2 000. With fewer than 8 data k~ = k + s. Constant weights (k = -inf) are exact.

    Args:
        k: The shape of the tail of the weights of each datum; see ``pareto_k``.
        num_samples: K, the draws of z for each datum; one number, or one of each datum.

    >>> reliable(torch.tensor([-torch.inf, 0.9]), 5000).tolist()
    [True, False]
    """
    draws = torch.as_tensor(num_samples, device=k.device).expand(k.shape).double()
    tail = torch.minimum(draws / 5, 3 * draws.sqrt()).floor()  # as tail_size
    s = (1 + k.clamp_min(0)) / tail.sqrt()
    seen = (draws >= LEAST_SAMPLES) & (_pooled(k, s, k.isfinite()) < _GREATEST_K)
    return seen | (k == -torch.inf)


def mean_interval(
    value: Float[Tensor, " N"], standard_error: Float[Tensor, " N"], stopping: float = 0.0
) -> tuple[float, float]:
    """A 95 % interval of mean_n log p(x_n) from estimates of each datum.

    [m - 2 se, m + 2 se + 2 mean(se_n^2)], with se = sqrt(sum_n se_n^2) / N: errors average out and
    the bias of the logarithm, about -se_n^2 / 2, does not.

    Args:
        value: Estimates of log p(x_n).
        standard_error: se_n.
        stopping: Bias in units of se_n, of either sign, by which both ends are moved outwards.

    >>> mean_interval(torch.zeros(4), torch.full((4,), 0.5))
    (-0.5, 1.0)
    """
    mean = value.mean().item()
    error = 2 * standard_error.square().sum().sqrt().item() / len(value)
    error += stopping * standard_error.mean().item()
    return mean - error, mean + error + 2 * standard_error.square().mean().item()


def states_evidence(numbers: Mapping[str, Any]) -> bool:
    """Return whether there is a log p(x) among these numbers, estimated or in closed form."""
    return "log_likelihood" in numbers or "log_evidence" in numbers


def stated(numbers: Mapping[str, Any]) -> str:
    """Return the mean log p(x) as it may be quoted, in nats per datum.

    Args:
        numbers: ``log_likelihood``; ``log_likelihood_se`` and an interval where it is earned, or
            its lower end alone; ``log_evidence`` if the model has a closed form, which is then
            what is quoted.

    >>> stated({"log_likelihood": -22.54, "log_likelihood_se": 0.004})
    '≥ -22.540'
    >>> interval = {"log_likelihood_lower": -22.548, "log_likelihood_upper": -22.532}
    >>> stated({"log_likelihood": -22.54, "log_likelihood_se": 0.004, **interval})
    '-22.540 ± 0.004'
    >>> ends = {"log_likelihood_lower": -4.1, "log_likelihood_upper": -4.1}
    >>> stated({"log_likelihood": -4.1, **ends})
    '-4.100 (exact)'
    >>> stated({"log_likelihood": -4.2, "log_evidence": -4.1})
    '-4.100 (exact)'
    >>> stated({"log_likelihood": -4.1, "log_likelihood_lower": -4.3})
    '≥ -4.300'
    """
    if (evidence := numbers.get("log_evidence")) is not None:
        return f"{evidence:.3f} (exact)"
    value = f"{numbers['log_likelihood']:.3f}"
    lower, upper = (numbers.get(f"log_likelihood_{end}") for end in ("lower", "upper"))
    if lower is None or upper is None:
        return f"≥ {value if lower is None else f'{lower:.3f}'}"
    exact = lower == upper
    return f"{value} (exact)" if exact else f"{value} ± {numbers['log_likelihood_se']:.3f}"


def why_not(numbers: Mapping[str, Any]) -> str | None:
    """Return why no interval of log p(x) is stated; None if one is, or if nothing is known.

    >>> why_not({"log_likelihood_samples": 100, "log_likelihood_reliable": 0.0})
    '≥: 100 draws show too little of the tail of the weights; evaluation_samples=2000 or more'
    >>> why_not({"log_likelihood_samples": 5000, "log_likelihood_reliable": 0.25})
    '≥: q misses a part of the posterior of 75 % of the data (heavy-tailed weights)'
    """
    share = numbers.get("log_likelihood_reliable")
    if share is None or {"log_likelihood_upper", "log_evidence"} & numbers.keys():
        return None
    if (draws := numbers["log_likelihood_samples"]) < LEAST_SAMPLES:
        more = f"evaluation_samples={LEAST_SAMPLES} or more"
        return f"≥: {draws} draws show too little of the tail of the weights; {more}"
    if numbers.get("rung_annealed"):
        return f"≥: the error of {percent(1 - share)} of the data is not known after annealing"
    missed = percent(1 - share)
    return f"≥: q misses a part of the posterior of {missed} of the data (heavy-tailed weights)"


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.25)
    '25 %'
    """
    return f"{share:.0%}".replace("%", " %")


def _pooled(
    k: Float[Tensor, " N"], s: Float[Tensor, " N"], of: Bool[Tensor, " N"]
) -> Float[Tensor, " N"]:
    if of.sum() < _FEW_DATA:
        return k + s
    median = k[of].median()
    tau2 = (k[of].var() - s[of].square().mean()).clamp_min(0)
    return median + (k - median) * tau2 / (tau2 + s.square())

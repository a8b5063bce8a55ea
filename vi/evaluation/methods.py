"""Differences of log p(x) between methods, of each of which several seeds were trained."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from scipy.special import stdtrit

from vi.evaluation.paired import Difference, Scores, rounding

_MISSED = 0.05


class MethodDifference(NamedTuple):
    """A difference of methods, and how much of its error comes from the seeds.

    Args:
        found: The difference; its interval covers another training seed and other test data.
        seeds: Share of the squared error that comes from the training seeds, from 0 to 1.
        freedom: Degrees of freedom of the interval.
    """

    found: Difference
    seeds: float
    freedom: float


def mean_scores(models: Sequence[Scores]) -> Scores:
    """Return the mean log p(x) of each datum over several models, as the scores of their method.

    >>> one = Scores(torch.ones(2).double(), torch.ones(2).double(), True)
    >>> mean_scores([one, one._replace(value=torch.zeros(2).double())]).value.tolist()
    [0.5, 0.5]
    """
    errors = torch.stack([model.error for model in models])
    return Scores(
        torch.stack([model.value for model in models]).mean(0),
        errors.square().sum(0).sqrt() / len(models),
        all(model.bounded for model in models),
        models[0].samples,
    )


def method_differences(
    groups: Sequence[Sequence[Scores]],
) -> dict[tuple[int, int], MethodDifference]:
    """Compare all pairs of methods, each by three seeds or more.

    With v_g the variance between the means of the S_g seeds of a method, and u the variance over
    data of the difference of both methods' means over seeds,

        se^2 = v_a / S_a + v_b / S_b + u / N,

    and Student's t with the degrees of freedom of Welch and Satterthwaite. All seeds see the same
    test data, whose error is therefore common to a method's seeds: it is in u, not in v. The
    interval covers 93 to 97 % from three seeds of each; with two it would cover 90 %. That of P
    pairs is one of 1 - .05 / P (Bonferroni), so that all hold together.

    Args:
        groups: The models of each method, on the same data in the same order.

    Returns:
        The difference a - b by (a, b) with a < b.

    Reference: Welch, 1947, https://doi.org/10.1093/biomet/34.1-2.28
    """
    pairs = list(combinations(range(len(groups)), 2))
    return {(a, b): _compared(groups[a], groups[b], len(pairs)) for a, b in pairs}


def _compared(a: Sequence[Scores], b: Sequence[Scores], pairs: int) -> MethodDifference:
    first, second = mean_scores(a), mean_scores(b)
    apart = first.value - second.value
    n, value = len(apart), apart.mean().item()
    parts = [(_between(a), len(a) - 1), (_between(b), len(b) - 1), (apart.var().item() / n, n - 1)]
    square = sum(part for part, _ in parts)
    error, freedom = math.sqrt(square), _freedom(parts)
    reach = float(stdtrit(freedom, 1 - _MISSED / pairs / 2))
    half = (reach * error if error else 0.0) + rounding(first, second)
    room_a, room_b = (sum(m.allowance for m in group) / len(group) for group in (a, b))
    found = Difference(
        value,
        value - half - room_b if second.bounded else -math.inf,
        value + half + room_a if first.bounded else math.inf,
        error,
        min((first.error.square() + second.error.square()).sum().sqrt().item() / n, error),
        max(room_a, room_b),
        n,
        reach,
    )
    return MethodDifference(found, (square - parts[2][0]) / square if square else 0.0, freedom)


def _between(models: Sequence[Scores]) -> float:
    """The variance of a method's mean that comes from the choice of its seeds."""
    means = torch.stack([model.value.mean() for model in models])
    return means.var().item() / len(models)


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Welch and Satterthwaite's degrees of freedom of a sum of variances."""
    whole, spread = sum(v for v, _ in parts), sum(v**2 / of for v, of in parts)
    return whole**2 / spread if spread else math.inf

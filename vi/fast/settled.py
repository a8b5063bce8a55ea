"""Decide which function is faster on a machine that does other work at the same time."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_REPEATS = 3  # calls of every way in a round
_SLOW = 0.1  # seconds of all ways together above which one call of each is enough
_AGREEING = 4  # consecutive rounds that must agree
_ROUNDS = 20  # largest number of rounds
_PATIENCE = 20.0  # seconds after which no further round begins


def settled(
    ways: Sequence[Callable[[], object]], decide: Callable[[Sequence[float]], T]
) -> tuple[T | None, list[float]]:
    """Decide by the seconds that each way takes, once four rounds in a row agree.

    A round runs the ways in turn, three times unless they are slow, and takes the shortest time of
    each: other work can only lengthen a time. A decision caused by a busy moment does not survive
    the next rounds. After 20 rounds or 20 seconds without agreement there is no decision.

    Args:
        ways: The functions to time.
        decide: Maps the seconds of each, in their order, to a decision.

    Returns:
        The decision, or None if it kept changing, and the shortest seconds of each way.

    >>> settled([lambda: sum(range(10)), lambda: sum(range(100_000))], lambda t: t[0] < t[1])[0]
    True
    """
    best, decisions = [math.inf] * len(ways), list[T]()
    started = time.perf_counter()
    while len(decisions) < _ROUNDS and time.perf_counter() - started < _PATIENCE:
        seconds = _shortest(ways)
        best = list(map(min, best, seconds))
        decisions.append(decide(seconds))
        if len(decisions) >= _AGREEING and len({*decisions[-_AGREEING:]}) == 1:
            return decisions[-1], best
    return None, best


def _shortest(ways: Sequence[Callable[[], object]]) -> list[float]:
    """Return the shortest seconds of each way in one round."""
    seconds = [math.inf] * len(ways)
    for _ in range(_REPEATS):
        if _SLOW < sum(seconds) < math.inf:
            break
        for i, way in enumerate(ways):
            started = time.perf_counter()
            way()
            seconds[i] = min(seconds[i], time.perf_counter() - started)
    return seconds

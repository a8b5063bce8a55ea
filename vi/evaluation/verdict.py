"""Verdicts on differences of log p(x), in words."""

import math

from vi.evaluation.paired import Difference, Needed, Scores, needed

_HOPELESS = 1000  # times the data that there are
_TIGHTER = "evaluation=escalating bounds it, or evaluation_samples=20000"


def verdict(names: tuple[str, str], found: Difference, of: str = "test data") -> str:
    """Return which of two models is better, and by how much.

    A number "≥" has no upper end: it can win and never lose.

    Args:
        names: Of both models.
        found: Their difference, the first minus the second.
        of: What the interval covers besides their number.

    >>> found = Difference(1.32, 1.21, 1.43, 0.05, 0.01, 0.0, 10_000)
    >>> verdict(("A", "B"), found)
    'A is better than B by 1.32 nats per datum (95 % interval 1.21 to 1.43, 10 000 test data)'
    >>> verdict(("A", "B"), found._replace(upper=math.inf))
    'A is better than B by at least 1.21 nats per datum (10 000 test data; A is a lower bound)'
    """
    if found.sign < 0:
        return verdict((names[1], names[0]), found.reversed(), of)
    a, b = names
    data = f"{grouped(found.count)} {of}"
    if not found.value and not found.error:  # not to be told from one another
        return f"{a} and {b} have the same log p(x) for each of {data}"
    value, lower, upper = (_nats(x, found) for x in (found.value, found.lower, found.upper))
    ends = f"95 % interval {lower} to {upper}"
    if found.sign and upper:
        return f"{a} is better than {b} by {value} nats per datum ({ends}, {data})"
    if found.sign:
        least = f"by at least {lower} nats per datum"
        return f"{a} is better than {b} {least} ({data}; {a} is a lower bound)"
    if lower and upper:
        apart = f"their difference is {value} nats per datum"
        return f"undecided between {a} and {b}: {apart} ({ends}, {data})"
    return f"undecided between {a} and {b}: {_unbounded(names, found)} ({data})"


def advice(found: Difference, models: tuple[Scores, Scores], available: int) -> str | None:
    """Return what would decide an undecided difference; None if it is decided, or is 0.

    Args:
        found: The difference.
        models: Both models.
        available: The number of data of the split.

    >>> import torch
    >>> one = Scores(torch.zeros(100), torch.full((100,), 0.1), True, 5000)
    >>> advice(Difference(0.1, -0.1, 0.3, 0.1, 0.08, 0.0, 100), (one, one), 100)
    'about 390 test data would decide it if it is what it looks like; there are 100'
    """
    if found.sign or not found.error:
        return None
    if math.isinf(found.lower) or math.isinf(found.upper):
        return _TIGHTER
    ways = _ways(needed(found), found.count, models)
    if not ways:
        return "the difference is too small for any affordable number of test data or draws"
    there = f"there are {grouped(available)}"
    return f"about {' or '.join(ways)} would decide it if it is what it looks like; {there}"


def grouped(number: int) -> str:
    """Return a number with its thousands apart.

    >>> grouped(10000)
    '10 000'
    """
    return f"{number:,}".replace(",", " ")


def _unbounded(names: tuple[str, str], found: Difference) -> str:
    a, b = names
    if math.isinf(found.lower) and math.isinf(found.upper):
        return f"{a} and {b} are lower bounds, so each may be better than it looks"
    name = a if math.isinf(found.upper) else b
    return f"{name} is a lower bound, so it may be better than it looks"


def _ways(need: Needed, count: int, models: tuple[Scores, Scores]) -> list[str]:
    ways = []
    if need.data is not None and need.data < _HOPELESS * count:
        ways.append(f"{grouped(_two_digits(max(need.data, count + 1)))} test data")
    draws = {model.samples for model in models if model.samples}
    if need.samples is not None and draws:
        ways.append(f"K = {grouped(round(max(draws) * need.samples))}")
    return ways


def _two_digits(number: int) -> int:
    """Round up to two digits, so that nobody reads more into it."""
    scale = 10 ** max(0, len(str(number)) - 2)
    return -(-number // scale) * scale


def _nats(x: float, found: Difference) -> str:
    """Return nats with two decimals, or as many as its error has; nothing if infinite."""
    if math.isinf(x):
        return ""
    small = found.error and math.isfinite(found.error)
    return f"{x:.{max(2, -math.floor(math.log10(found.error))) if small else 2}f}"

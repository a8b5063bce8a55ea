"""Numbers as they may be quoted: with unit, error, K, and how far to trust them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

NATS = "nats per datum"
EXACT, INTERVAL, LOWER = "exact", "95 % interval", "lower bound"
"""How far a number can be trusted."""


class Number(NamedTuple):
    """A number with all that is needed to quote it.

    Args:
        name: Its name, such as ``log_likelihood``.
        value: The number itself.
        unit: Its unit.
        error: Its Monte-Carlo standard error.
        lower: Lower end of a 95 % interval.
        upper: Upper end of this interval.
        samples: K, the number of draws of z for each datum.
        reliability: How far it can be trusted; None if there is nothing to say.
        data_error: Standard error over data: how much another data set of this size would change
            the number.
    """

    name: str
    value: float
    unit: str = NATS
    error: float | None = None
    lower: float | None = None
    upper: float | None = None
    samples: int | None = None
    reliability: str | None = None
    data_error: float | None = None

    def known(self) -> dict[str, Any]:
        """Return all that is known of it, without its name."""
        return {k: v for k, v in self._asdict().items() if k != "name" and v is not None}


_OF_A_NUMBER = {
    "se": "error",
    "data_se": "data_error",
    "lower": "lower",
    "upper": "upper",
    "samples": "samples",
    "reliable": "reliability",
}
_FACTS = {"count", "repeats"}
_CLOSED_FORMS = {"log_evidence"}


def quoted(numbers: Mapping[str, Any], units: Mapping[str, str]) -> list[Number]:
    """Fold flat numbers into one for each quantity.

    ``a_se``, ``a_data_se``, ``a_lower``, ``a_upper``, ``a_samples`` and ``a_reliable`` belong to a
    number ``a``. A number with both ends of an interval is exact where they are equal. One whose
    share of reliable data is known, and that has no interval, is a lower bound.

    Args:
        numbers: Plain numbers by name, as ``measure`` returns them.
        units: Units of those that are not in nats per datum, by name.

    >>> numbers = {"elbo": -2.5, "elbo_lower": -2.6, "elbo_upper": -2.4, "elbo_samples": 10}
    >>> [(n.name, n.value, n.samples, n.reliability) for n in quoted(numbers, {})]
    [('elbo', -2.5, 10, '95 % interval')]
    """
    owned = {name: _owner(name, numbers) for name in numbers}
    return [
        _quoted(name, numbers, units.get(name, NATS), (k for k, v in owned.items() if v == name))
        for name, owner in owned.items()
        if owner is None and name not in _FACTS
    ]


def _owner(name: str, numbers: Iterable[str]) -> str | None:
    """Return the number that this one is about, if there is such a number."""
    owners = (name.removesuffix(f"_{end}") for end in _OF_A_NUMBER if name.endswith(f"_{end}"))
    return min((owner for owner in owners if owner in numbers), key=len, default=None)


def _quoted(name: str, numbers: Mapping[str, Any], unit: str, about: Iterable[str]) -> Number:
    found = {_OF_A_NUMBER[other.removeprefix(f"{name}_")]: numbers[other] for other in about}
    share = found.pop("reliability", None)
    trust = EXACT if name in _CLOSED_FORMS else _trust(found, share)
    return Number(name, numbers[name], unit, **found, reliability=trust)


def _trust(found: Mapping[str, Any], share: float | None) -> str | None:
    if "lower" in found and "upper" in found:
        return EXACT if found["lower"] == found["upper"] else INTERVAL
    return None if share is None else LOWER

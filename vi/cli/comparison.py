"""A ranking of models or of methods by log p(x): its verdicts, its table and its numbers."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vi.evaluation.methods import MethodDifference
    from vi.evaluation.paired import Difference, Scores
    from vi.files.numbers import Number

_HEAD = ("", "log p(x), nats per datum", "± over data", "best minus this, 95 %")


class Comparison(NamedTuple):
    """What was compared, the best first.

    Args:
        scores: log p(x) by name; for a method the mean over its seeds.
        pairs: Differences a - b by (a, b), a before b in the order of ``scores``.
        said: The verdicts.
    """

    scores: "dict[str, Scores]"
    pairs: "dict[tuple[int, int], Difference]"
    said: list[str]

    @property
    def from_best(self) -> "dict[str, Difference]":
        """How far each of the others lies below the best, by name."""
        return {name: self.pairs[0, i] for i, name in enumerate(self.scores) if i}

    def table(self) -> list[str]:
        """Return the ranking as lines of text."""
        rows = [_HEAD, *(self._row(name) for name in self.scores)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]

    def _row(self, name: str) -> tuple[str, str, str, str]:
        from vi.evaluation.reliability import stated

        number = self._number(name)
        known = {"": number.value, "_se": number.error, "_lower": number.lower}
        known = {f"log_likelihood{k}": v for k, v in (known | {"_upper": number.upper}).items()}
        found = self.from_best.get(name)
        interval = "" if found is None else f"{_end(found.lower)} to {_end(found.upper)}"
        return name, stated(known), f"{number.data_error:.3f}", interval

    def numbers(self) -> "list[Number]":
        """Return log p(x) of each, and the difference of each pair."""
        from vi.files.numbers import Number

        names = list(self.scores)
        apart = [
            Number(
                f"{names[a]} - {names[b]}",
                found.value,
                lower=_finite(found.lower),
                upper=_finite(found.upper),
                data_error=found.error,
            )
            for (a, b), found in self.pairs.items()
        ]
        return [*map(self._number, names), *apart]

    def _number(self, name: str) -> "Number":
        from vi.evaluation.reliability import mean_interval
        from vi.files.numbers import EXACT, INTERVAL, LOWER, Number

        value, error, bounded, samples = self.scores[name]
        exact = bounded and not error.any()
        lower, upper = mean_interval(value, error) if bounded else (None, None)
        return Number(
            name,
            value.mean().item(),
            error=error.square().sum().sqrt().item() / len(value),
            lower=lower,
            upper=upper,
            samples=samples,
            reliability=EXACT if exact else INTERVAL if bounded else LOWER,
            data_error=value.std().item() / math.sqrt(len(value)),
        )


def of_models(models: "Mapping[str, Scores]", available: int) -> Comparison:
    """Compare models with each other.

    Args:
        models: log p(x) by name.
        available: The number of data of the split.
    """
    from vi.evaluation.paired import differences

    scores = _ranked(models)
    pairs = differences(list(scores.values()))
    said = [_verdict(scores, i, pairs[0, i], available) for i in range(1, len(scores))]
    return Comparison(scores, pairs, said)


def of_methods(methods: "Mapping[str, Mapping[str, Scores]]", available: int) -> Comparison:
    """Compare methods, each by several seeds.

    Args:
        methods: log p(x) by the name of a run, by the name of its method.
        available: The number of data of the split.
    """
    from vi.evaluation.methods import mean_scores, method_differences

    scores = _ranked({name: mean_scores(list(of.values())) for name, of in methods.items()})
    found = method_differences([list(methods[name].values()) for name in scores])
    pairs = {pair: of.found for pair, of in found.items()}
    said = [f"{name}: {', '.join(methods[name])}" for name in scores]
    for i in range(1, len(scores)):
        said.append(_verdict_of_methods(scores, i, found[0, i], methods, available))
    said.append("the intervals cover other training seeds and other test data of the same source")
    return Comparison(scores, pairs, said)


def _ranked(scores: "Mapping[str, Scores]") -> "dict[str, Scores]":
    return dict(sorted(scores.items(), key=lambda item: -item[1].value.mean().item()))


def _verdict(scores: "dict[str, Scores]", i: int, found: "Difference", available: int) -> str:
    from vi.evaluation.verdict import advice, verdict

    names = list(scores)
    more = advice(found, (scores[names[0]], scores[names[i]]), available)
    return "; ".join(filter(None, [verdict((names[0], names[i]), found), more]))


def _verdict_of_methods(
    scores: "dict[str, Scores]",
    i: int,
    compared: "MethodDifference",
    methods: "Mapping[str, Mapping[str, Scores]]",
    available: int,
) -> str:
    from vi.evaluation.verdict import advice, verdict

    names, found = list(scores), compared.found
    seeds = " and ".join(str(len(methods[names[j]])) for j in (0, i))
    sentence = verdict((names[0], names[i]), found, f"test data, {seeds} seeds")
    more = advice(found, (scores[names[0]], scores[names[i]]), available)
    if more and compared.seeds > 1 / 2 and math.isfinite(found.lower + found.upper):
        share = f"{compared.seeds:.0%}".replace("%", " %")
        more = f"{share} of the squared error comes from the training seeds: train more of each"
    return "; ".join(filter(None, [sentence, more]))


def _end(x: float) -> str:
    return f"{x:.3f}" if math.isfinite(x) else "unbounded"


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None

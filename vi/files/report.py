"""The text of ``report.md``: a run's results for a reader, with its pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.files.numbers import quoted

_UNITS = {"active_units": "dimensions", "effective_sample_size": "draws", "pareto_k": "shape"}
_COST = {"train/steps": "steps", "train/seconds": "seconds"}
_FIRST = ("curves", "samples", "reconstructions", "latent_plane")


def report(
    directory: Path, metrics: Mapping[str, Any], findings: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the report of a run in Markdown.

    Args:
        directory: The run directory, whose pictures are shown.
        metrics: What training wrote to metrics.json; empty if it did not end.
        findings: What was measured since, by title.
    """
    parts = [f"# {directory.resolve().name}"]
    shown = {name for found in findings.values() for name in found["pictures"]}
    parts += _training(directory, metrics, shown)
    for title, found in findings.items():
        parts += [f"## {title}", _sentence(found["facts"]), *found["said"]]
        parts += _table(found["numbers"])
        parts += [_picture(name) for name in found["pictures"] if (directory / name).is_file()]
    return "\n\n".join(filter(None, parts)) + "\n"


def _training(directory: Path, metrics: Mapping[str, Any], elsewhere: set[str]) -> list[str]:
    """Return what training measured on the test data, and the pictures of no finding."""
    plain = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    test = {k.removeprefix("test/"): v for k, v in plain.items() if k.startswith("test/")}
    numbers = {n.name: n.known() for n in quoted(test, _UNITS)}
    facts = {k.removeprefix("data/"): v for k, v in metrics.items() if k.startswith("data/")}
    names = sorted({path.name for path in directory.glob("*.png")} - elsewhere, key=_order)
    cost = [f"{_digits(plain[name])} {unit}" for name, unit in _COST.items() if name in plain]
    return [
        *(["## training", ", ".join(cost), _sentence(facts)] if numbers else []),
        *_table(numbers),
        *map(_picture, names),
    ]


def _order(name: str) -> tuple[int, str]:
    stem = name.removesuffix(".png")
    return (_FIRST.index(stem) if stem in _FIRST else len(_FIRST), name)


def _sentence(facts: Mapping[str, Any]) -> str:
    """Return the facts in one line, without those that are the same for all findings of a run."""
    own = {k.removeprefix("data/"): v for k, v in facts.items() if _is_shown(k)}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in own.items())


def _is_shown(fact: str) -> bool:
    return fact == "data/binarize" or not fact.startswith(("data/", "evaluation/", "sha256"))


def _table(numbers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of numbers, without the columns that no number has."""
    if not numbers:
        return []
    rows = [{"name": name} | _cells(number) for name, number in numbers.items()]
    columns = [c for c in rows[0] if any(row[c] for row in rows)]
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return ["\n".join(_line(cells) for cells in lines)]


def _cells(number: Mapping[str, Any]) -> dict[str, str]:
    lower, upper = (_digits(number.get(end)) for end in ("lower", "upper"))
    return {
        "value": _digits(number["value"]),
        "± s.e.": _digits(number.get("error")),
        "95 % interval": f"{lower} to {upper}" if lower and upper else "",
        "± s.e. over data": _digits(number.get("data_error")),
        "K": str(number.get("samples") or ""),
        "unit": str(number.get("unit", "")),
        "how far to trust it": str(number.get("reliability") or ""),
    }


def _digits(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _picture(name: str) -> str:
    return f"![{name.removesuffix('.png')}]({name})"

"""Measure a finished run: bound, terms and log p(x)."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from vi.cli.runs import open_run, start, write_arrays
from vi.options import Configurable

if TYPE_CHECKING:
    from vi.evaluation.base import Evaluation
    from vi.evaluation.over_split import Measured
    from vi.files.findings import Finding
    from vi.models.base import LatentVariableModel


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("evaluate", evaluate_run, arguments)


def evaluate_run(
    run: str,
    split: Literal["train", "val", "test"],
    limit: int | None,
    batch_size: int,
    seed: int | None,
    device: Literal["auto", "cpu", "gpu"],
    data_dir: str | None,
    out: str | None,
    plugins: list[str],
    evaluation_samples: int,
    evaluation: dict[str, Any],
) -> None:
    """Measure a finished run: evaluation.json and report.md beside its metrics.

    evaluation.npz has the value of every datum.
    """
    import numpy as np

    from vi.config.build import build
    from vi.evaluation.over_split import measure
    from vi.training.progress_bar import progress_bar

    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    seed = opened.seed if seed is None else seed
    made = build("evaluation", evaluation, plugins=plugins)
    with progress_bar(f"measuring {split}"):
        measured = measure(
            opened.model,
            opened.split(split),
            opened.bound,
            made,
            seed=seed,
            batch_size=batch_size,
            limit=limit,
        )
    _print(measured.numbers, split)
    finding = _finding(made, opened.model, measured, split, seed, opened.data.facts)
    for sentence in finding.said:
        print(sentence)
    path = opened.record(finding, out)
    arrays = {name: column.numpy() for name, column in measured.columns.items()}
    arrays |= {"index": measured.index.numpy(), "title": np.array(finding.title)}
    write_arrays(path.with_suffix(".npz"), arrays | {"seed": np.array(seed)})
    print(f"written to {path}")


def _print(numbers: dict[str, float], split: str) -> None:
    for name, value in numbers.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        print(f"{f'{split}/{name}':36} {text}")


def _finding(
    evaluation: "Evaluation",
    model: "LatentVariableModel",
    measured: "Measured",
    split: str,
    seed: int,
    facts: Mapping[str, Any],
) -> "Finding":
    from vi.evaluation.reliability import stated, states_evidence, why_not
    from vi.files.findings import Finding
    from vi.files.numbers import quoted

    numbers, said = measured.numbers, []
    if states_evidence(numbers):
        said = [f"log p(x) of {split}: {stated(numbers)} nats per datum"]
        said += [reason for reason in [why_not(numbers)] if reason is not None]
    said += evaluation.said(model, numbers)
    of = {"split": split, "count": numbers["count"], "repeats": numbers["repeats"], "seed": seed}
    of |= options_of(evaluation) | dict(facts)
    return Finding(titled(evaluation, split), of, quoted(numbers, evaluation.units), said)


def options_of(part: Configurable, prefix: str = "evaluation/") -> dict[str, Any]:
    """Return the plain options of an evaluation and of the parts within it, by path."""
    found = {}
    for name, value in part.arguments.items():
        if isinstance(value, Configurable):
            found |= options_of(value, f"{prefix}{name}/")
        elif isinstance(value, bool | int | float | str):
            found[f"{prefix}{name}"] = value
    return found


def titled(evaluation: "Evaluation", split: str) -> str:
    """Return the title of a finding, by which a later one replaces it."""
    words = re.findall("[A-Z]+[a-z]*", type(evaluation).__name__)
    return f"{' '.join(words).lower()} on {split}"

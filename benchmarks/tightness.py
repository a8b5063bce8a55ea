"""How far each bound is below log p(x), on one trained model.

    python benchmarks/tightness.py --run outputs/... --data 300

Measures the same test data of a finished run by the ELBO, IWAE with 50 and with 5000 draws, 5000
draws of a q that is refined for each datum, and annealing from it; then bidirectional Monte Carlo
on as many data that the model simulates. Writes ``results/tightness.md`` and
``results/tightness.png``.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from _machine import Load, foot
from matplotlib.figure import Figure
from torch import Tensor

import vi
from vi.cli.runs import Run, open_run
from vi.evaluation.base import Evaluation
from vi.evaluation.over_split import measure
from vi.training.progress_bar import progress_bar

RESULTS = Path(__file__).parent / "results"


class Row(NamedTuple):
    """A bound of each datum in nats, its Monte-Carlo error, and the seconds for each datum."""

    name: str
    value: Tensor
    error: Tensor
    seconds: float

    @property
    def mean_error(self) -> float:
        """The Monte-Carlo standard error of the mean."""
        return self.error.square().sum().sqrt().item() / len(self.value)


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", type=int, default=300)
    parser.add_argument("--temperatures", type=int, default=1000)
    options = parser.parse_args()
    opened = open_run(options.run, device="cpu")
    with Load() as load:
        rows = list(ladder(opened, options.data, options.temperatures))
        sides = both_sides(opened, options.data, options.temperatures)
    facts = opened.data.facts
    text = [
        f"# Bounds of log p(x) on one {facts['data/name']} model\n",
        f"Trained by `{trained_by(Path(options.run))}`. {options.data} test data, evenly spaced; "
        f"annealing by {options.temperatures} "
        "temperatures of 16 chains. The error is that of the mean by Monte Carlo over draws; the "
        "step is the paired rise over the line above, with its error over data.\n",
        table(rows),
        f"\nOn {options.data} data that the model simulates, bidirectional Monte Carlo holds log "
        f"p(x) between {sides['simulated_lower_bound']:.3f} and "
        f"{sides['simulated_upper_bound']:.3f}: a gap of {sides['bidirectional_gap']:.3f} ± "
        f"{sides['bidirectional_gap_se']:.3f} nats, {sides['seconds_per_datum']:.2f} s a datum.\n",
        "![bounds](tightness.png)\n",
        foot(
            f"python benchmarks/tightness.py --run RUN --data {options.data} --temperatures "
            f"{options.temperatures}",
            [load.others],
        ),
    ]
    (RESULTS / "tightness.md").write_text("\n".join(text), encoding="utf-8")
    draw(rows).savefig(RESULTS / "tightness.png", dpi=120)
    print("\n".join(text))


def trained_by(run: Path) -> str:
    """Return the command of a run."""
    options = json.loads((run / "options.json").read_text(encoding="utf-8"))["options"]
    words = [f"{o['name']}={o['value']}".replace(" ", "") for o in options]
    return f"python -m vi train {' '.join(words)}"


def ladder(opened: Run, data: int, temperatures: int) -> Iterator[Row]:
    """Yield the bounds from the loosest to the tightest, on the same test data."""
    model, refinement = opened.model, vi.AdamAscent(100, lr=0.03, num_draws=10)
    refined = model.with_inference(vi.Refined(model.inference, refinement))
    annealed = vi.AnnealedImportanceSampling(
        vi.Sigmoidal(), num_temperatures=temperatures, refinement=refinement
    )
    yield measured("ELBO", opened, model, vi.ImportanceSampling(1), data)
    for draws in (50, 5000):
        yield measured(f"IWAE-{draws}", opened, model, vi.ImportanceSampling(draws), data)
    yield measured("IWAE-5000, refined q", opened, refined, vi.ImportanceSampling(5000), data)
    yield measured("annealed, refined q", opened, model, annealed, data)


def measured(
    name: str, opened: Run, model: vi.LatentVariableModel, evaluation: Evaluation, data: int
) -> Row:
    """Measure a bound of each datum; for the ELBO the mean of 200 draws."""
    is_elbo = evaluation.num_samples == 1
    started = time.perf_counter()
    with progress_bar(name):
        found = measure(
            model,
            opened.split("test"),
            vi.ELBO() if is_elbo else opened.bound,
            evaluation,
            seed=opened.seed,
            limit=data,
            repeats=200 if is_elbo else 1,
        ).columns
    seconds = (time.perf_counter() - started) / data
    if is_elbo:  # its Monte-Carlo error is far below the width of a line
        return Row(name, found["elbo"], torch.zeros(data), seconds)
    return Row(name, found["log_likelihood"], found["standard_error"], seconds)


def both_sides(opened: Run, data: int, temperatures: int) -> dict[str, float]:
    """Return the numbers of bidirectional Monte Carlo on data that the model simulates."""
    refinement = vi.AdamAscent(100, lr=0.03, num_draws=10)
    evaluation = vi.BidirectionalMonteCarlo(
        vi.Sigmoidal(), num_temperatures=temperatures, refinement=refinement
    )
    with progress_bar("bidirectional"):
        return measure(
            opened.model,
            opened.split("test"),
            opened.bound,
            evaluation,
            seed=opened.seed,
            limit=data,
            repeats=1,
        ).numbers


def table(rows: list[Row]) -> str:
    """Return the ladder as a table."""
    lines = ["| bound | nats | ± | step | ± | s a datum |", "|---|---|---|---|---|---|"]
    for below, row in zip([None, *rows], rows, strict=False):
        step = "- | -"
        if below is not None:
            rise = row.value - below.value
            step = f"{rise.mean():+.3f} | {rise.std() / math.sqrt(len(rise)):.3f}"
        error = f"{row.mean_error:.3f}"
        lines.append(
            f"| {row.name} | {row.value.mean():.3f} | {error} | {step} | {row.seconds:.3f} |"
        )
    return "\n".join(lines)


def draw(rows: list[Row]) -> Figure:
    """Draw a ladder of the bounds with two Monte-Carlo errors, and the seconds of each."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for step, row in enumerate(rows):
        axes.errorbar(row.value.mean(), step, xerr=2 * row.mean_error, fmt="o", capsize=4)
        text = f"{row.value.mean():.2f}, {row.seconds:.3f} s a datum"
        axes.annotate(
            text, (row.value.mean(), step), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set(xlabel="bound of log p(x), nats a datum", ylim=(-0.5, len(rows) - 0.2))
    axes.margins(x=0.3)
    return figure


if __name__ == "__main__":
    main()

"""Measure a finished run: bound, terms and log p(x)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vi.cli.runs import open_run, start


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
    """Measure a finished run and write evaluation.json beside its metrics."""
    from vi.config.build import build
    from vi.evaluation.over_split import evaluate
    from vi.evaluation.reliability import stated, why_not
    from vi.files.atomic import write_atomically
    from vi.training.progress_bar import progress_bar

    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    seed = opened.seed if seed is None else seed
    with progress_bar(f"measuring {split}"):
        numbers = evaluate(
            opened.model,
            opened.split(split),
            opened.bound,
            build("evaluation", evaluation, plugins=plugins),
            seed=seed,
            batch_size=batch_size,
            limit=limit,
        )
    result = {f"{split}/{k}": v for k, v in numbers.items()} | {"seed": seed} | opened.data.facts
    path = Path(out) if out else opened.directory / "evaluation.json"
    write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
    for name, value in result.items():
        print(f"{name:36} {value:.4f}" if isinstance(value, float) else f"{name:36} {value}")
    if "log_likelihood" in numbers:
        print(f"{f'log p(x) of {split}':36} {stated(numbers)} nats per datum")
        if (reason := why_not(numbers)) is not None:
            print(reason)
    print(f"written to {path}")

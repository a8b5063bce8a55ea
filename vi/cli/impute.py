"""Fill in the missing entries of a finished run's data."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vi.cli.runs import open_run, start, write_arrays


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("impute", impute_run, arguments)


def impute_run(
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
    """Write E[x|x_observed] of missing entries, a picture, and the log-likelihood of the truth.

    The truth is known for entries that were hidden (data.hidden_fraction), not for those that a
    file omits (data.missing=mask). Its log-likelihood is compared with that of a model without
    latents, whose entries are independent.
    """
    from vi.evaluation.impute_split import imputation_numbers, impute_split
    from vi.figures.imputations import imputations_figure
    from vi.figures.names import axis_names
    from vi.figures.save import save_figure
    from vi.files.atomic import write_atomically
    from vi.training.progress_bar import progress_bar

    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    seed, num_samples = opened.seed if seed is None else seed, _num_samples(evaluation, plugins)
    with progress_bar(f"imputing {split}"):
        columns = impute_split(
            opened.model.eval(),
            opened.split(split),
            opened.data.train,
            num_samples,
            seed=seed,
            batch_size=batch_size,
            limit=limit,
        )
    numbers = imputation_numbers(columns) | {"num_samples": num_samples}
    result = {f"{split}/{k}": v for k, v in numbers.items()} | {"seed": seed} | opened.data.facts
    folder = Path(out) if out else opened.directory
    x, observed, truth = (columns[name] for name in ("x", "observed", "truth"))
    arrays = {"x": x.numpy(), "observed": observed.numpy(), "truth": truth.numpy()}
    path = write_arrays(folder / "imputed.npz", arrays)
    facts, shape = opened.data.facts, tuple(opened.model.data_shape)
    names = axis_names(facts, x[0].numel())
    figure = imputations_figure(truth, observed, x, shape, names)
    save_figure(figure, folder / "imputations.png")
    write_atomically(folder / "impute.json", (json.dumps(result, indent=2) + "\n").encode())
    for name, value in result.items():
        print(f"{name:44} {value:.4f}" if isinstance(value, float) else f"{name:44} {value}")
    print(f"written to {path}\npicture    {folder / 'imputations.png'}")


def _num_samples(evaluation: dict[str, Any], plugins: Sequence[str]) -> int:
    """Return the number of draws from q(z|x) for each datum."""
    from vi.config.build import build
    from vi.errors import ConfigurationError
    from vi.evaluation.importance_sampling import ImportanceSampling

    made = build("evaluation", evaluation, plugins=plugins)
    if not isinstance(made, ImportanceSampling):
        raise ConfigurationError(
            f"imputation requires weighted draws, which {type(made).__name__} does not make",
            hint="evaluation=importance_sampling",
        )
    return made.num_samples

"""Write the latents of a finished run's data to an NPZ file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vi.cli.runs import open_run, start, write_arrays

_BATCH = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("encode", encode_run, arguments)


def encode_run(
    run: str,
    split: Literal["train", "val", "test"],
    device: Literal["auto", "cpu", "gpu"],
    data_dir: str | None,
    out: str | None,
    plugins: list[str],
) -> None:
    """Write mean and standard deviation of q(z|x), one row per datum, and what was given."""
    import torch

    from vi.fast import session
    from vi.progress import watched
    from vi.training.progress_bar import progress_bar

    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    chosen = opened.split(split).frozen(opened.seed)
    rows: dict[str, list[torch.Tensor]] = {}
    bar = progress_bar(f"encoding {split}")
    with torch.no_grad(), session(None, opened.model), bar:
        for index in watched(chosen.spread(len(chosen)).split(_BATCH)):
            batch = chosen.batch(index)
            q = opened.model.posterior(batch.x, **batch.given)
            columns = {"mean": q.mean, "stddev": q.stddev, **batch.given}
            for name, column in columns.items():
                rows.setdefault(name, []).append(column.cpu())
    arrays = {name: torch.cat(parts).numpy() for name, parts in rows.items()}
    path = Path(out) if out else opened.directory / f"latents_{split}.npz"
    path = write_arrays(path, arrays)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    print(f"written to {path}: {shapes}")

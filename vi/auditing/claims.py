"""The numbers that a run states about itself, as an audit reads them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vi.auditing.subject import Claim
from vi.errors import CheckpointError
from vi.files.findings import findings
from vi.files.plain_files import Unreadable, read_json

_WEIGHTED = "importance sampling on "
_OTHERWISE = ("evaluation/widen", "evaluation/target_se")  # other draws, and other numbers of them


def claims_of(directory: Path) -> list[Claim]:
    """Return what metrics.json and evaluation.json of a run say about its splits.

    Raises:
        CheckpointError: A file cannot be read.
    """
    return [*_of_training(directory / "metrics.json"), *_of_findings(directory)]


def _of_training(path: Path) -> Iterator[Claim]:
    """Yield the numbers of metrics.json."""
    if not path.is_file():
        return
    try:
        metrics = read_json(path)
    except Unreadable as error:
        raise CheckpointError(f"{path} {error}", hint="train again, or restore the file") from None
    for split in ("test", "val"):
        numbers = _numbers(metrics, f"{split}/")
        if numbers:
            yield Claim(path.name, split, numbers, int(metrics.get("seed", 0)), facts=metrics)


def _numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return what is a number, by name without the prefix."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix) and isinstance(value, int | float)
    }


def _of_findings(directory: Path) -> Iterator[Claim]:
    """Yield the numbers of evaluation.json that ``evaluate`` wrote."""
    for title, found in findings(directory).items():
        facts, split = found["facts"], title.rpartition(" on ")[2]
        if split not in ("train", "val", "test") or "count" not in facts:
            continue
        numbers = {name: number["value"] for name, number in found["numbers"].items()}
        if not title.startswith(_WEIGHTED) or any(facts.get(name) for name in _OTHERWISE):
            numbers.pop("log_likelihood", None)
        else:
            samples = {n: v["samples"] for n, v in found["numbers"].items() if "samples" in v}
            numbers |= {f"{name}_samples": k for name, k in samples.items()}
        numbers |= _numbers(facts)
        seed = int(facts.get("seed", 0))
        columns = _columns(directory / "evaluation.npz", title)
        yield Claim(f"evaluation.json ({title})", split, numbers, seed, columns, facts)


def _columns(path: Path, title: str) -> dict[str, Tensor] | None:
    """Return the value of every datum that ``evaluate`` wrote last, if it is this finding."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["title"]) != title:
                return None
            names = [name for name in file.files if name not in ("title", "seed")]
            return {name: torch.from_numpy(file[name]) for name in names}
    except (OSError, KeyError, ValueError):
        return None

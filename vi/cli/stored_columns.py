"""What ``evaluate`` wrote of every datum of a run, if it is what is wanted now."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.cli.evaluate import options_of, titled
from vi.cli.runs import Run
from vi.files.findings import findings
from vi.files.model_directory import model_directory
from vi.files.model_files import read_config

if TYPE_CHECKING:
    from vi.evaluation.base import Evaluation


def stored_columns(
    run: Run, evaluation: "Evaluation", split: str, seed: int, index: Int64[Tensor, " N"]
) -> dict[str, Tensor] | None:
    """Return the columns of evaluation.npz of a run, or None.

    They are what is wanted if the evaluation with its options, split, data, bits and seed are the
    same, and the weights are not newer.

    Args:
        run: The run.
        evaluation: What is wanted.
        split: Name of the split.
        seed: Of the noise and of the bits.
        index: The rows of the split.
    """
    path, title = run.directory / "evaluation.npz", titled(evaluation, split)
    known = findings(run.directory).get(title)
    if known is None or not path.is_file() or _is_older(run, path):
        return None
    try:
        with np.load(path) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays if name != "title"}
            same = str(arrays["title"]) == title
    except (OSError, ValueError, KeyError):  # of another program, or damaged: measure again
        return None
    told = {k: v for k, v in known["facts"].items() if k.startswith("evaluation/")}
    same &= told == options_of(evaluation) and int(found.pop("seed", torch.tensor(-1))) == seed
    same &= torch.equal(found.pop("index", index[:0]), index) and _has_these_bits(run, seed)
    return found if same else None


def _is_older(run: Run, path: Path) -> bool:
    weights = model_directory(run.directory) / "model.safetensors"
    return path.stat().st_mtime < weights.stat().st_mtime


def _has_these_bits(run: Run, seed: int) -> bool:
    """Evaluate measures the bits of the run's own seed."""
    facts = read_config(model_directory(run.directory))["facts"]
    return run.seed == seed or facts.get("data/binarize") != "dynamic"

"""Measurement of the weights that are kept, after training."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vi.errors import CheckpointError, NumericsError
from vi.evaluation.base import Evaluation
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.over_split import evaluate
from vi.files.model_files import read_config
from vi.files.plain_files import Unreadable, read_json
from vi.training.checks.magnitudes import steadying
from vi.training.module import TrainingModule
from vi.training.progress_bar import progress_bar
from vi.training.results.collapse import measure_use

_PLAIN = (bool, int, float, str, type(None))
_OF_TEST = ("test/count", "test/elbo", "test/kl", "test/reconstruction")
_ALWAYS = ("train/steps", "train/seconds", *_OF_TEST)
_OF_TRAINING = ("train/", "spent/")


def known_numbers(run_dir: Path, module: TrainingModule) -> dict[str, Any]:
    """Return the numbers of metrics.json, if the resumed run had ended with these weights."""
    path = run_dir / "metrics.json"
    if not (module.ended_before and path.is_file()):
        return {}
    try:
        numbers = read_json(path)
    except Unreadable:
        return {}
    steps = module.trainer.global_step
    return numbers if _is_whole(numbers) and numbers["train/steps"] == steps else {}


def _is_whole(numbers: Any) -> bool:
    """Return whether all values are plain, and those of every run are numbers."""
    plain = isinstance(numbers, dict) and all(isinstance(v, _PLAIN) for v in numbers.values())
    return plain and all(type(numbers.get(name)) in (int, float) for name in _ALWAYS)


def of_training(module: TrainingModule) -> dict[str, float]:
    """Return the latest values of the training curves, and the cost of the run."""
    return {k: v for k, v in module.book.latest.items() if k.startswith(_OF_TRAINING)}


def measure(
    module: TrainingModule, evaluation: Evaluation | None, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate the weights that are kept on test data and on validation data.

    Numbers that are known already are not computed again.

    Args:
        module: The module with the weights that are kept.
        evaluation: Measurement on the test data beside the bound; None for log p(x) by importance
            sampling with 1000 samples.
        known: Numbers of an earlier run with the same weights.

    Returns:
        Numbers with the prefixes ``test/`` and ``val/``, in nats per datum where they are bounds.

    Raises:
        NumericsError: A number on the test data is not finite.
    """
    model, bound, data, seed = module.inferred, module.bound, module.data, module.seed
    test, val, use, shown = {}, {}, {}, module.settings.progress_bar
    if not _has(known, "test/"):
        evaluation = evaluation or ImportanceSampling(num_samples=1000)
        with progress_bar("measuring test", shown=shown):
            repeats = 1 if module.settings.debug else None
            test = evaluate(model, data.test, bound, evaluation, seed=seed, repeats=repeats)
        _require_finite(test, module)
        use = measure_use(model, data.test, seed)
    if data.val is not None and not _has(known, "val/"):
        with progress_bar("measuring val", shown=shown):
            val = evaluate(model, data.val, bound, seed=seed, repeats=1)
    test = {f"test/{k}": v for k, v in test.items()}
    return test | use | {f"val/{k}": v for k, v in val.items()}


def is_complete(known: Mapping[str, Any], directory: Path) -> bool:
    """Return whether everything has been measured and the model has been saved."""
    try:
        return _has(known, "test/") and bool(read_config(directory))
    except CheckpointError:
        return False


def _has(known: Mapping[str, Any], prefix: str) -> bool:
    """Return whether a number with this prefix is known."""
    return any(name.startswith(prefix) for name in known)


def _require_finite(numbers: Mapping[str, float], module: TrainingModule) -> None:
    """Refuse numbers that are not finite."""
    bad = [f"{name}={value}" for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        raise NumericsError(
            f"the trained model has no finite numbers on the test data: {', '.join(bad)}",
            hint=steadying(module.data, module.model),
        )

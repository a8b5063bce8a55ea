"""The approximation and the amortization gap while a model trains, on fixed probe data."""

import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from vi.data.base import Batch, Split
from vi.distributions.datum_noise import datum_noise
from vi.errors import (
    ConfigurationError,
    DataError,
    NumericsError,
    ViError,
    require_positive,
)
from vi.evaluation.inference_gaps import InferenceGaps
from vi.evaluation.tightness import gap
from vi.figures.gaps import gaps_figure
from vi.figures.save import or_warned, save_figure
from vi.figures.shown import undisturbed
from vi.files.findings import Finding, add_finding
from vi.files.numbers import quoted
from vi.inference.exact import Exact
from vi.inputs import as_it_is
from vi.training.module import TrainingModule

COLUMNS = (
    "step",
    "elbo",
    "log_likelihood",
    "amortization",
    "amortization_error",
    "approximation",
    "approximation_error",
    "is_known",
)
_TRIED = 64  # data whose gradient is timed before training
_CAREFUL = 2.0  # factor of that time, which leaves out much
_DRAWS_FOR_A_GRADIENT = 3  # the time of a gradient, in evaluations of the decoder
_LOGGED = ("elbo", "log_likelihood", "amortization", "approximation")
_TITLE, PICTURE = "inference gaps while training", "gaps.png"


class GapCurves(pl.Callback):
    """Log ``val_gaps/amortization`` and ``val_gaps/approximation`` of q(z|x) while it trains.

    The data are a fixed, evenly spaced part of the validation data, or of the test data without
    a validation split, and the noise of a datum is a function of the seed and the datum, so that
    the points of the curves can be compared. ``val_gaps/elbo`` and ``val_gaps/log_likelihood``
    are of the same data; ``spent/share_of_gaps`` is the share of the time that was used. Training
    is the same, bit by bit, with and without this callback.

    A measurement waits until all of them, itself included, should take at most the ``share`` of
    the seconds so far. The gap is always measured when training ends: its seconds come on
    top. ``gaps.png`` in the run directory then shows the curves, TensorBoard shows them as
    ``val_gaps/curves``, and a sentence says which options would win how many nats.

    Args:
        evaluation: Measures the gap.
        num_data: Number of probe data; all, if there are fewer.
        share: Largest part of the seconds of training, between 0 and 1.

    Raises:
        ConfigurationError: ``num_data`` is not positive, or ``share`` is not between 0 and 1.

    Reference: Cremer, Li and Duvenaud, 2018, https://arxiv.org/abs/1801.03558
    """

    forms = (
        {"rows": [dict.fromkeys(COLUMNS, 0.0)], "seconds": 0.0, "latest": 0.0},
        {"rows": [], "seconds": 0.0, "latest": 0.0},
    )
    """Possible forms of the state, against which a checkpoint is checked."""

    def __init__(self, evaluation: InferenceGaps, num_data: int = 50, share: float = 0.05) -> None:
        require_positive("num_data", num_data)
        if not 0 < share < 1:
            raise ConfigurationError(
                f"share must be between 0 and 1, got {share:g}",
                hint="0.05 spends a twentieth of the time on the gap",
            )
        self.evaluation, self.num_data, self.share = evaluation, num_data, share
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0  # of all measurements
        self.latest = 0.0  # seconds of the latest one, or what one is expected to take
        self.numbers: dict[str, float] | None = None  # of the latest one in this process

    def state_dict(self) -> dict[str, Any]:
        """Return all rows, and the seconds that they took."""
        rows = [dict(row) for row in self.rows]
        return {"rows": rows, "seconds": self.seconds, "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of a checkpoint."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        self.seconds, self.latest = state_dict["seconds"], state_dict["latest"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Try a gradient of the refinement on some data, and estimate the time of a measurement.

        Raises:
            ConfigurationError: The gap of this q(z|x) cannot be measured.
            DataError: There are no probe data.
        """
        if not len(_split(pl_module)[1]):
            raise DataError(
                "no data to measure the gap on",
                hint="callbacks.inference_gaps=null, or a validation split",
            )
        started = time.perf_counter()
        if not isinstance(pl_module.inferred.inference, Exact):
            seconds = self._try(pl_module)
            self.latest = self.latest or _CAREFUL * seconds
        self.seconds += time.perf_counter() - started

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: TrainingModule, *_: object
    ) -> None:
        """Measure within a long epoch; its end is left to ``on_train_epoch_end``."""
        if not pl_module.is_open() and self._fits(pl_module.book.seconds()):
            self._measure(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Measure if the share of the time allows it."""
        if self._fits(pl_module.book.seconds()):
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Measure the final model, draw the curves, and say what they advise."""
        if not self.rows or self.rows[-1]["step"] != trainer.global_step:
            self._measure(trainer, pl_module)
        elif self.numbers is None:
            self.numbers = self._numbers(pl_module)
        self._draw(trainer)
        self._conclude(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Draw the curves up to the error; errors of vi in drawing do not replace it."""
        with suppress(ViError):
            self._draw(trainer)

    def _fits(self, elapsed: float) -> bool:
        """Return whether one more measurement after so many seconds stays within the share."""
        return self.seconds + self.latest <= self.share * (elapsed + self.latest)

    def _measure(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Add a row and log it; a gap that is not finite is a warning."""
        started = time.perf_counter()
        try:
            self.numbers = self._numbers(module)
        except NumericsError as error:
            warnings.warn(f"no gap at step {trainer.global_step}: {error}", stacklevel=2)
        else:
            row = {"step": trainer.global_step, **_row(self.numbers)}
            self.rows.append(row)
            module.book.record({f"val_gaps/{name}": row[name] for name in _LOGGED})
        self.latest = time.perf_counter() - started
        self.seconds += self.latest
        module.book.record({"spent/share_of_gaps": self.seconds / module.book.seconds()})

    def _numbers(self, module: TrainingModule) -> dict[str, float]:
        """Return the numbers of the evaluation on the probe data."""
        index, batch = self._probe(module)
        with (
            undisturbed(module.model, module.seed),
            as_it_is(),
            datum_noise(module.seed + 1, index),  # as ``measure`` has it
        ):
            columns = self.evaluation(module.inferred, batch.x, **batch.given)
        return self.evaluation.summarize({k: v.cpu().double() for k, v in columns.items()})

    def _probe(self, module: TrainingModule, most: int | None = None) -> tuple[Tensor, Batch]:
        """Return the rows of the probe data in their split, and these data."""
        split = _split(module)[1].frozen(module.seed)
        index = split.spread(min(self.num_data, len(split), most or len(split)))
        return index, split.batch(index)

    def _try(self, module: TrainingModule) -> float:
        """Return the seconds that a measurement will take, from those of a gradient."""
        index, batch = self._probe(module, _TRIED)
        count = min(self.num_data, len(_split(module)[1]))
        with undisturbed(module.model, module.seed), as_it_is(), datum_noise(module.seed, index):
            objective, at = self.evaluation.climbed(module.inferred, batch.x, **batch.given)
            for _ in range(2):  # the first one is slow
                started = time.perf_counter()
                _take_gradient(objective, at)
        gradient = (time.perf_counter() - started) / self.evaluation.bound.num_samples
        steps = self.evaluation.refinement.num_steps * self.evaluation.bound.num_samples
        draws = 2 * self.evaluation.num_samples / _DRAWS_FOR_A_GRADIENT
        return gradient * (steps + draws) * count / len(index)

    def _conclude(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Say what the last measurement advises, on the screen and in the report."""
        if self.numbers is None:
            return
        folder, (split, data) = Path(trainer.default_root_dir), _split(module)
        facts = {
            "split": split,
            "count": min(self.num_data, len(data)),
            "seed": module.seed,
            "step": trainer.global_step,
            **module.data.facts,
        }
        said = self.evaluation.said(module.inferred, self.numbers)
        numbers = quoted(self.numbers, self.evaluation.units)
        pictures = [path for path in [folder / PICTURE] if path.is_file()]
        module.book.said += said
        with or_warned("the gap"):
            add_finding(folder, Finding(_TITLE, facts, numbers, said, pictures))

    def _draw(self, trainer: pl.Trainer) -> None:
        """Write the curves as a file, and send them to TensorBoard."""
        if not self.rows:
            return
        with or_warned("the gap"):
            save_figure(gaps_figure(self.rows), Path(trainer.default_root_dir) / PICTURE)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    figure = gaps_figure(self.rows)  # a figure is closed by being sent
                    logger.experiment.add_figure("val_gaps/curves", figure, trainer.global_step)


def _split(module: TrainingModule) -> tuple[str, Split]:
    """Return the split with the probe data, and its name."""
    data = module.data
    return ("test", data.test) if data.val is None else ("val", data.val)


def _row(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return what the curves show of a measurement."""
    gaps = {name: gap(f"{name}_gap", numbers) for name in ("amortization", "approximation")}
    elbo = numbers["refined_elbo"] - numbers["amortization_gap"]
    return {
        "elbo": elbo,
        "log_likelihood": numbers["log_likelihood"],
        **{name: one.value for name, one in gaps.items()},
        **{f"{name}_error": one.error for name, one in gaps.items()},
        "is_known": float("log_likelihood_lower" in numbers),
    }


def _take_gradient(objective: Callable[[Tensor], Tensor], parameters: Tensor) -> None:
    with torch.enable_grad():
        at = parameters.detach().requires_grad_()
        torch.autograd.grad(objective(at).sum(), at)

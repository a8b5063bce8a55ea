"""Averages of the terms of a run, and its cost so far."""

import math
import time
from typing import TYPE_CHECKING

from vi.errors import NumericsError
from vi.evaluation.columns import Columns
from vi.evaluations import Evaluations
from vi.training.checks.magnitudes import steadying

if TYPE_CHECKING:
    from vi.training.module import TrainingModule


class Logbook:
    """The account of a run; sends it to every logger.

    Args:
        module: The module that takes the steps.
    """

    def __init__(self, module: "TrainingModule") -> None:
        self.module = module
        self.train_means = Columns()
        self.val_means = Columns()
        self.latest: dict[str, float] = {}
        self.said: list[str] = []  # by callbacks, for the closing report
        self.evaluations = Evaluations()
        self.started: float | None = None
        self.seconds_before = 0.0  # of the run that this one goes on from
        self.validated = 0  # the step of the latest validation

    def record(self, metrics: dict[str, float]) -> None:
        """Send numbers to every logger, at the current optimiser step."""
        self.latest |= metrics
        for logger in self.module.loggers:
            logger.log_metrics(metrics, step=self.module.trainer.global_step)

    def close_training(self) -> None:
        """Log the means of the training terms since the last call, if there are any."""
        if not self.train_means.columns:
            return
        means, self.train_means = self.train_means, Columns()
        mean = self._finite_mean(means, "loss")
        groups = self.module.trainer.optimizers[0].param_groups  # none where steps are exact
        rate = {"train/learning_rate": groups[0]["lr"]} if groups else {}
        metrics = {f"train/{name}": value for name, value in mean.items()}
        self.record(metrics | rate | self._objective() | self.spent())

    def _objective(self) -> dict[str, float]:
        """Return the objective of a scheme of whole passes, at the end of a pass."""
        ends = self.module.trainer.global_step % self.module.steps_per_epoch() == 0
        objective = self.module.scheme.objective() if ends else None
        return {} if objective is None else {"train/objective": objective}

    def close_validation(self) -> dict[str, float]:
        """Log and return the means of the validation terms; empty without validation data."""
        means, self.val_means = self.val_means, Columns()
        if not means.columns:
            return {}
        mean = self._finite_mean(means, "validation bound")
        self.validated = self.module.trainer.global_step
        metrics = {f"val/{name}": value for name, value in mean.items()}
        self.record(metrics | self.spent())
        return metrics

    def require_finite(self) -> None:
        """Check the training terms since the last call, before a file is written.

        Raises:
            NumericsError: The loss became NaN or infinite.
        """
        self._finite_mean(self.train_means, "loss")

    def spent(self) -> dict[str, float]:
        """Return the cost of the run so far: the axes of a fair comparison.

        Returns:
            Seconds, epochs, and rows of encoder and decoder per training datum.
        """
        module, n = self.module, len(self.module.data.train)
        evaluations = module.processes.total(vars(self.evaluations))
        return {
            "spent/seconds": self.seconds(),
            "spent/epochs": module.trainer.global_step / module.steps_per_epoch(),
            "spent/encoder_evaluations": evaluations["encoder"] / n,
            "spent/decoder_evaluations": evaluations["decoder"] / n,
        }

    def spent_all(self) -> bool:
        """Return whether the budget of evaluations is used up."""
        limit = self.module.settings.max_evaluations
        spent = self.evaluations.encoder + self.evaluations.decoder
        return limit is not None and spent >= limit * len(self.module.data.train)

    def seconds(self) -> float:
        """Return the seconds of training, with those of the runs that this one continues."""
        return self.seconds_before + (time.perf_counter() - self.started if self.started else 0.0)

    def _finite_mean(self, means: Columns, what: str) -> dict[str, float]:
        """Return the means over all processes.

        Raises:
            NumericsError: A mean is not finite.
        """
        means = self.module.processes.gathered(means)
        mean = means.mean()
        if all(map(math.isfinite, mean.values())):
            return mean
        raise self._not_finite(means, what)

    def _not_finite(self, means: Columns, what: str) -> NumericsError:
        """Return the error for the first batch whose terms are not finite."""
        bad = means.first_not_finite()
        step = self.module.trainer.global_step
        if what == "loss":
            step += bad + 1 - len(means.columns["bound"])
        values = {name: batches[bad].mean().item() for name, batches in means.columns.items()}
        bound = values.pop("bound")
        became = "NaN" if bound != bound else str(-bound if what == "loss" else bound)
        said = ", ".join(f"{k}={v:.4g}" for k, v in values.items() if k != "elbo")
        return NumericsError(
            f"{what} became {became} at step {step} ({said})",
            hint=steadying(self.module.data, self.module.model),
        )

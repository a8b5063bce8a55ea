"""What a run writes down: the means of its terms, and what it has cost so far."""

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
    """Keeps the account of a run, and sends it to every logger.

    Args:
        module: Whose steps these are.
    """

    def __init__(self, module: "TrainingModule") -> None:
        self.module = module
        self.train_means = Columns()
        self.val_means = Columns()
        self.latest: dict[str, float] = {}
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
        """The means of the training terms since the last time; nothing where there are none."""
        if not self.train_means.columns:
            return
        means, self.train_means = self.train_means, Columns()
        mean = self._finite_mean(means, "loss")
        groups = self.module.trainer.optimizers[0].param_groups  # none where steps are exact
        rate = {"train/learning_rate": groups[0]["lr"]} if groups else {}
        metrics = {f"train/{name}": value for name, value in mean.items()}
        self.record(metrics | rate | self._objective() | self.spent())

    def _objective(self) -> dict[str, float]:
        """That of a scheme of whole passes, when one has ended."""
        ends = self.module.trainer.global_step % self.module.steps_per_epoch() == 0
        objective = self.module.scheme.objective() if ends else None
        return {} if objective is None else {"train/objective": objective}

    def close_validation(self) -> dict[str, float]:
        """The means of the validation terms; none where there are no such data."""
        means, self.val_means = self.val_means, Columns()
        if not means.columns:
            return {}
        mean = self._finite_mean(means, "validation bound")
        self.validated = self.module.trainer.global_step
        metrics = {f"val/{name}": value for name, value in mean.items()}
        self.record(metrics | self.spent())
        return metrics

    def require_finite(self) -> None:
        """Look at the training terms since the last time, before a file is written.

        Raises:
            NumericsError: The loss became NaN or infinite.
        """
        self._finite_mean(self.train_means, "loss")

    def spent(self) -> dict[str, float]:
        """What the run has cost so far: the axes of a fair comparison."""
        module, n = self.module, len(self.module.data.train)
        evaluations = module.processes.total(vars(self.evaluations))
        return {
            "spent/seconds": self.seconds(),
            "spent/epochs": module.trainer.global_step / module.steps_per_epoch(),
            "spent/encoder_evaluations": evaluations["encoder"] / n,
            "spent/decoder_evaluations": evaluations["decoder"] / n,
        }

    def spent_all(self) -> bool:
        """Whether the budget of evaluations is used up."""
        limit = self.module.settings.max_evaluations
        spent = self.evaluations.encoder + self.evaluations.decoder
        return limit is not None and spent >= limit * len(self.module.data.train)

    def seconds(self) -> float:
        """Of training, in this process and in those that it goes on from."""
        return self.seconds_before + (time.perf_counter() - self.started if self.started else 0.0)

    def _finite_mean(self, means: Columns, what: str) -> dict[str, float]:
        means = self.module.processes.gathered(means)
        mean = means.mean()
        if all(map(math.isfinite, mean.values())):
            return mean
        raise self._not_finite(means, what)

    def _not_finite(self, means: Columns, what: str) -> NumericsError:
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

"""Predictive checks: statistics of the data among those of replicated data."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vi.data.base import Batch
from vi.diagnoses.base import Diagnosis, Diagnostic, Subject
from vi.diagnoses.simulation import replicated, simulated
from vi.diagnoses.statistics.base import Statistic
from vi.diagnostics.predictive_check import PredictiveCheck
from vi.errors import ConfigurationError, DataError, require_positive, require_whole
from vi.figures.grid import is_image
from vi.figures.names import axis_names
from vi.figures.replicates import replicates_figure
from vi.files.numbers import Number
from vi.math import Shape
from vi.models.base import LatentVariableModel
from vi.progress import watched

_LEVEL = 0.01  # p-value up to which a statistic is called wrong
_LEAST = 99  # replicates with which a p-value can be as small
_FEWEST = 2  # data with a spread
_MAKERS: dict[str, Callable[[LatentVariableModel, Batch], Tensor]] = {
    "p(x)": lambda model, batch: simulated(model, batch)[1],
    "p(x|x_n)": lambda model, batch: _again(model, batch),
}


class PredictiveChecks(Diagnostic):
    """Are the data like data that the model makes, by chosen statistics T?

    T of the data is compared with T of R replicated data sets of the same size and the same
    missing entries: from p(x) of the fitted model, and from p(x|x_n), a new datum from the
    posterior of each datum, z ~ q(z|x_n) and x ~ p(x|z). The second uses the data twice and is
    the easier test. The p-value is the rank of the largest deviation over all numbers of T.

    Args:
        statistics: Those that do not apply to the data are left out.
        num_replicates: R, at least 99.
        max_data: Largest number of data.

    Raises:
        ConfigurationError: There is no statistic, or a number is too small.

    Reference: Rubin, 1984, https://doi.org/10.1214/aos/1176346785; Gelman, Meng and Stern, 1996,
    Statistica Sinica 6
    """

    def __init__(
        self, statistics: Sequence[Statistic], num_replicates: int = 200, max_data: int = 500
    ) -> None:
        if not statistics:
            raise ConfigurationError("no statistic is chosen", hint="statistics=[mean]")
        require_whole("num_replicates", num_replicates, _LEAST)
        require_positive("max_data", max_data, _FEWEST - 1)
        self.statistics = list(statistics)
        self.num_replicates, self.max_data = num_replicates, max_data

    def examine(self, subject: Subject) -> Diagnosis:
        """Replicate the data, and rank their statistics."""
        checks = self.checks(subject)
        numbers = [Number(_name(check), check.p_value, "p-value") for check in checks]
        figures = {"predictive_checks": replicates_figure(checks)}
        facts = {"count": min(self.max_data, len(subject.rows)), "replicates": self.num_replicates}
        return Diagnosis("predictive checks", numbers, _verdict(checks), figures, facts)

    def checks(self, subject: Subject) -> list[PredictiveCheck]:
        """Return every statistic that applies, with replicates from p(x) and from p(x|x_n).

        Raises:
            DataError: There is only one datum.
            ConfigurationError: No statistic applies, or p(x|z) cannot be sampled.
        """
        batch, shape = subject.batch(self.max_data), _shape(subject)
        if len(batch.x) < _FEWEST:
            raise DataError("one datum has no statistics", hint="give more data")
        names = axis_names(subject.data.facts, batch.x[0].numel())
        data = _seen(batch.x, batch, shape)
        chosen = [statistic for statistic in self.statistics if statistic.applies(data)]
        if not chosen:
            raise ConfigurationError("no statistic applies to the data", hint="statistics=[mean]")
        checks = []
        for of, made in watched(_MAKERS.items()):
            replicates = []
            for _ in watched(range(self.num_replicates)):
                x = _seen(made(subject.model, batch), batch, shape)
                replicates.append([statistic(x) for statistic in chosen])
            for number, statistic in enumerate(chosen):
                parts = ["all pixels"] if is_image(shape) else statistic.parts(names)
                each = torch.stack([values[number] for values in replicates])
                checks.append(PredictiveCheck(statistic.title, of, parts, statistic(data), each))
        return checks


def _name(check: PredictiveCheck) -> str:
    return f"p_value_{check.of}_{check.title}".replace(" ", "_")


def _again(model: LatentVariableModel, batch: Batch) -> Tensor:
    """Draw x ~ p(x|z) with z ~ q(z|x_n)."""
    return replicated(model, model.posterior(batch.x, **batch.given).sample(), batch)


def _shape(subject: Subject) -> Shape:
    """Return the event shape of the data, which an exact model flattens."""
    written = str(subject.data.facts.get("data/shape", ""))
    shape = tuple(int(size) for size in written.split("x") if size)
    own = tuple(subject.model.data_shape)
    return shape if math.prod(shape) == math.prod(own) else own


def _seen(x: Tensor, batch: Batch, shape: Shape) -> Tensor:
    """Return data in their shape and in double precision, with NaN where the data have none."""
    x, observed = x.double(), batch.given.get("observed")
    x = x if observed is None else x.where(observed, math.nan)
    return x.reshape(len(x), *shape)


def _verdict(checks: Sequence[PredictiveCheck]) -> list[str]:
    """Return a sentence on the replicates of each kind."""
    said = []
    for of in _MAKERS:
        own = [check for check in checks if check.of == of]
        wrong = sorted((c for c in own if c.p_value <= _LEVEL), key=lambda check: check.p_value)
        told = "; ".join(map(_described, wrong))
        fine = f"data from {of} have the statistics of the data (all p above {_LEVEL})"
        said.append(f"data from {of} differ in {told}" if wrong else fine)
    return said


def _described(check: PredictiveCheck) -> str:
    """Return the number of a statistic that deviates most, with its values."""
    worst = int(check.deviations[0].abs().argmax())
    own, others = check.data[worst].item(), check.replicates[:, worst]
    told = f"{own:.4g} in the data, {others.mean():.4g} ± {others.std():.2g} in replicates"
    of = f" of {check.parts[worst]}" if len(check.parts) > 1 else ""
    return f"{check.title}{of} ({told}, p = {check.p_value:.2g})"

"""log p(x) by the cheapest method that can be trusted, datum by datum."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vi.errors import require_positive
from vi.evaluation.annealing.annealed_importance_sampling import AnnealedImportanceSampling
from vi.evaluation.base import Evaluation, Further
from vi.evaluation.importance_sampling import LEAST_SHARE, ImportanceSampling
from vi.evaluation.reliability import reliable
from vi.inference.base import Parametric
from vi.inference.refined import Refined
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement

_ENCODER, _REFINED, _ANNEALED = 0.0, 1.0, 2.0  # rungs


class Escalating(Evaluation):
    """log p(x) by importance sampling where it can be trusted, and by better tools elsewhere.

    1. Importance sampling from the encoder's q(z|x).
    2. Where that is not ``reliable``: q of the datum is refined on its ELBO, and K fresh draws are
       weighted. A q without variational parameters stays as it is.
    3. Where that is not reliable either: annealed importance sampling from the refined q. Within a
       budget these are a random subset S of such data U, and the mean difference corrects the
       mean over all N data,

           m = mean_n(value_n) + |U| / N mean_S(annealed_n - value_n).

    Args:
        refinement: Moves q to the posterior of a datum.
        evaluation: The last rung.
        num_samples: K, draws of z for each datum on the first two rungs.
        budget: Rows that the last rung may send through the decoder; no limit if not given.

    Reference: Li, Vehtari, Bürkner, Radev, Acerbi and Schmitt, 2024,
    https://arxiv.org/abs/2409.04332, escalate so for simulators.
    """

    units: ClassVar = {
        **ImportanceSampling.units,
        **{f"rung_{name}": "share of data" for name in ("encoder", "refined", "annealed")},
    }

    def __init__(
        self,
        refinement: Refinement,
        evaluation: AnnealedImportanceSampling,
        num_samples: int = 5000,
        budget: int | None = None,
    ) -> None:
        if budget is not None:
            require_positive("budget", budget)
        self.refinement, self.annealing = refinement, evaluation
        self.importance = ImportanceSampling(num_samples)
        self.num_samples, self.budget = num_samples, budget

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Columns of importance sampling from the encoder's q, and the rung."""
        return _on(_ENCODER, self.importance(model, x, **given))

    def further(self, columns: Mapping[str, Float[Tensor, " N"]]) -> Further | None:
        """The next rung, for the data whose estimate cannot be trusted yet."""
        rung = columns["rung"]
        if not (rung > _ENCODER).any():
            again: Evaluation = _FromRefined(self.importance, self.refinement)
            rows = self._unreliable(columns, rung == _ENCODER)
        elif not (rung == _ANNEALED).any():
            again = _Annealed(self.annealing)
            rows = self._affordable(self._unreliable(columns, rung == _REFINED))
        else:
            return None
        return Further(again, rows) if len(rows) else None

    def _unreliable(
        self, columns: Mapping[str, Float[Tensor, " N"]], of: Bool[Tensor, " N"]
    ) -> Tensor:
        rows = of.nonzero()[:, 0]
        return rows[~reliable(columns["pareto_k"][rows], self.num_samples)]

    def _affordable(self, rows: Tensor) -> Tensor:
        """As many of these data as the budget pays for, at random, the same every time."""
        if self.budget is None:
            return rows
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        return rows[order[: max(2, self.budget // self.annealing.cost)].sort().values]

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The mean, its error, an interval where it is earned, and the share of each rung."""
        rung = columns["rung"]
        annealed, refined = rung == _ANNEALED, rung == _REFINED
        shares = {
            f"rung_{name}": (rung == number).double().mean().item()
            for name, number in (
                ("encoder", _ENCODER),
                ("refined", _REFINED),
                ("annealed", _ANNEALED),
            )
        }
        if not annealed.any():
            return self.importance.summarize(columns) | shares
        waiting = torch.zeros_like(refined)
        waiting[self._unreliable(columns, refined)] = True
        return self._corrected(columns, annealed, waiting) | shares

    def _corrected(
        self, columns: Mapping[str, Tensor], annealed: Tensor, waiting: Tensor
    ) -> dict[str, float]:
        """The mean of all data where some of those that need it were annealed."""
        value, error, n = columns["log_likelihood"], columns["standard_error"], len(annealed)
        better, better_error = columns["annealed"][annealed], columns["annealed_error"][annealed]
        share = (annealed | waiting).double().mean().item()
        difference = better - value[annealed]
        trusted = ~(annealed | waiting)
        mean = value.mean().item() + share * difference.mean().item()
        variance = error[trusted].square().sum().item() / n**2
        variance += share**2 * better_error.square().mean().item() / len(better)
        if waiting.any():
            left = waiting.sum().item() / (waiting.sum().item() + len(better))
            variance += share**2 * left * difference.var().item() / len(better)
        numbers = {
            "log_likelihood": mean,
            "log_likelihood_se": math.sqrt(variance),
            "log_likelihood_reliable": 1 - share,
            "log_likelihood_data_se": value.where(~annealed, columns["annealed"]).std().item()
            / math.sqrt(n),
            "log_likelihood_samples": self.num_samples,
        }
        if 1 - share < LEAST_SHARE:
            return numbers
        reach = 2 * math.sqrt(variance)
        bias = 2 * error[trusted].square().mean().item()
        ends = {"log_likelihood_lower": mean - reach, "log_likelihood_upper": mean + reach + bias}
        return numbers | ends


class _FromRefined(Evaluation):
    """Importance sampling from the refined q of each datum."""

    def __init__(self, importance: ImportanceSampling, refinement: Refinement) -> None:
        self.importance, self.refinement = importance, refinement
        self.num_samples = importance.num_samples

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        if isinstance(model.inference, Parametric):
            model = model.with_inference(Refined(model.inference, self.refinement))
        return _on(_REFINED, self.importance(model, x, **given))

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        return self.importance.summarize(columns)


class _Annealed(Evaluation):
    """Annealing beside what is known: its columns have names of their own."""

    def __init__(self, annealing: AnnealedImportanceSampling) -> None:
        self.annealing = annealing
        self.num_samples = annealing.cost

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        found = self.annealing(model, x, **given)
        names = {"annealed": "log_likelihood", "annealed_error": "standard_error"}
        return _on(_ANNEALED, {name: found[old] for name, old in names.items()})

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        return self.annealing.summarize(columns)


def _on(rung: float, columns: dict[str, Tensor]) -> dict[str, Tensor]:
    some = next(iter(columns.values()))
    return columns | {"rung": torch.full_like(some, rung)}

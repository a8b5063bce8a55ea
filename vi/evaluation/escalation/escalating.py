"""log p(x) by the cheapest method that can be trusted, datum by datum."""

import math
from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vi.errors import ConfigurationError, require_positive
from vi.evaluation.annealing.annealed_importance_sampling import AnnealedImportanceSampling
from vi.evaluation.annealing.choice import immovable, is_refinable
from vi.evaluation.base import Evaluation, Further
from vi.evaluation.escalation.budget import Budget
from vi.evaluation.escalation.difference import difference_estimate
from vi.evaluation.escalation.enumeration import enumerated
from vi.evaluation.escalation.progress import Reached
from vi.evaluation.escalation.rungs import Annealed, Columns, FromRefined, Rung, exact, on
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.reliability import LEAST_SAMPLES, percent
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement

_GRADIENT = 3  # rows' worth of time that a row takes with its gradient


class Escalating(Evaluation):
    """log p(x) by importance sampling where it can be trusted, and by better tools elsewhere.

    A model with a closed form is answered exactly, and so is a discrete z with up to 4096 states,
    by their sum. Else

    1. importance sampling from the encoder's q(z|x);
    2. where that is not ``reliable``, q of the datum is refined on its ELBO, and K fresh draws are
       weighted. A q without variational parameters, or of a discrete z, skips this;
    3. where that is not reliable either, annealed importance sampling from the refined q. A z that
       it cannot move, as on a sphere, stays on the rung before.

    Within a budget, a random subset S of the data U that the encoder's q does not fit climbs rungs
    2 and 3, and the mean difference corrects the mean over all N data,

        m = mean_n(v_n) + |U| / N mean_S(w_n - v_n),

    with v_n from rung 1 and w_n the last estimate. Its variance is that of a simple random sample
    without replacement, (|U| / N)^2 (1 - |S| / |U|) var_S(w_n - v_n) / |S|, and the Monte-Carlo
    errors of the estimates. The subset is the same in every evaluation of the same data.

    Args:
        refinement: Moves q to the posterior of a datum.
        evaluation: The last rung; its own refinement, if it has one, takes the place of this.
        num_samples: K, draws of z for each datum on the first two rungs.
        budget: Rows that rungs 2 and 3 may send through the decoder; no limit if not given.
        budget_seconds: Seconds that they may take. At least
            20 data climb, by which the rate is measured.

    Raises:
        ConfigurationError: K is below 2 000, where no estimate could be trusted.

    Reference: Li, Vehtari, Bürkner, Radev, Acerbi and Schmitt, 2024,
    https://arxiv.org/abs/2409.04332, escalate so for simulators; Särndal, Swensson and Wretman,
    1992, https://doi.org/10.1007/978-1-4612-4378-6, for the difference estimator.
    """

    units: ClassVar = {
        **ImportanceSampling.units,
        "encoder_pareto_k": "shape",
        **{f"rung_{rung.name.lower()}": "share of data" for rung in Rung},
        "rung_waiting": "share of data",
        "escalated_rows": "rows through the decoder",
        "escalated_seconds": "seconds",
    }

    def __init__(
        self,
        refinement: Refinement,
        evaluation: AnnealedImportanceSampling,
        num_samples: int = 5000,
        budget: float | None = None,
        budget_seconds: float | None = None,
    ) -> None:
        if num_samples < LEAST_SAMPLES:
            raise ConfigurationError(
                f"{num_samples} draws show too little of the tail of the weights, so every datum "
                "would be annealed",
                hint=f"evaluation_samples={LEAST_SAMPLES} or more; or "
                "evaluation=importance_sampling, which takes any number",
            )
        for name, limit in (("budget", budget), ("budget_seconds", budget_seconds)):
            if limit is not None:
                require_positive(name, limit)
        self.refinement, self.annealing = refinement, evaluation
        self.importance = ImportanceSampling(num_samples)
        self.num_samples = num_samples
        self.budget, self.budget_seconds = budget, budget_seconds

    def __call__(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Columns:
        """The exact value, or columns of importance sampling from the encoder's q; the rung."""
        value = model.log_evidence(x, **given)
        if value is not None:
            return exact(Rung.EXACT, value)
        value = enumerated(model, x, **given)
        if value is not None:
            return exact(Rung.ENUMERATED, value)
        found = on(Rung.ENCODER, self.importance(model, x, **given))
        kept = ("log_likelihood", "pareto_k")
        return found | {f"encoder_{name}": found[name].clone() for name in kept}

    def further(
        self, model: LatentVariableModel, columns: Mapping[str, Float[Tensor, " N"]]
    ) -> Further | None:
        """The next rung, for the data whose estimate cannot be trusted yet."""
        reached, budget = Reached(columns, self.num_samples), self._budget(model)
        if reached.is_exact or not budget.a_datum:
            return None
        waiting = reached.waiting()
        if budget.annealing and len(waiting):
            return Further(self._annealed, waiting, self._annealing_share(budget))
        rows = budget.next(reached)
        if not len(rows):
            return None
        if not budget.refining:
            return Further(self._annealed, rows)
        share = budget.refining / budget.a_datum
        return Further(self._from_refined, rows, share)

    def share(self, model: LatentVariableModel, n: int) -> float:
        """The part of the first pass, if no datum could be trusted after it."""
        first, budget = n * self.num_samples, self._budget(model)
        return first / (first + _GRADIENT * budget.most_rows(n))

    @property
    def _from_refined(self) -> FromRefined:
        return FromRefined(self.importance, self.refinement)

    @property
    def _annealed(self) -> Annealed:
        return Annealed(self.annealing, self.refinement)

    def _annealing_share(self, budget: Budget) -> float:
        """Under a budget that leaves rows, more data climb after these."""
        return 1.0 if budget.rows is None and budget.seconds is None else 0.8

    def _budget(self, model: LatentVariableModel) -> Budget:
        refining = self._from_refined.rows if is_refinable(model) else 0
        annealing = 0 if immovable(model.latent()) else self._annealed.rows
        return Budget(refining, annealing, self.budget, self.budget_seconds)

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The mean, its error, an interval where it is earned, and the share of each rung.

        ``encoder_pareto_k`` is the median k of the encoder's q, ``pareto_k`` that of the last q of
        each datum.
        """
        reached = Reached(columns, self.num_samples)
        value = columns["log_likelihood"]
        numbers = difference_estimate(columns, reached)
        if len(value) > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(len(value))
        if not reached.is_exact:
            numbers["log_likelihood_samples"] = self.num_samples
        for name in ("encoder_pareto_k", "pareto_k"):
            known = columns[name][columns[name].isfinite()] if name in columns else value[:0]
            numbers |= {name: known.median().item()} if len(known) else {}
        for rung in Rung:
            share = (columns["rung"] == rung).double().mean().item()
            numbers |= {f"rung_{rung.name.lower()}": share} if share else {}
        if self.budget_seconds is not None and reached.escalated.any():
            numbers |= {f"escalated_{what}": reached.spent(what) for what in ("rows", "seconds")}
        return numbers

    def said(self, model: LatentVariableModel, numbers: Mapping[str, float]) -> list[str]:
        """What answered exactly, what ended the escalation, and which part of the data climbed."""
        if "rung_exact" in numbers:
            return ["the model has log p(x) in closed form"]
        if "rung_enumerated" in numbers:
            return ["log p(x) is the sum over all states of z"]
        found = [_stopped(model, numbers), _part(numbers), _rate(numbers)]
        return [sentence for sentence in found if sentence]


def _stopped(model: LatentVariableModel, numbers: Mapping[str, float]) -> str:
    why = immovable(model.latent())
    if not why or numbers["log_likelihood_reliable"] == 1:
        return ""
    q = "a refined q" if is_refinable(model) else "the encoder's q"
    return f"importance sampling from {q} was the last rung: {why}"


def _part(numbers: Mapping[str, float]) -> str:
    """Which part of the data climbed, if the budget was too small for all that need it."""
    waiting = numbers.get("rung_waiting", 0.0)
    climbed = numbers.get("rung_refined", 0.0) + numbers.get("rung_annealed", 0.0)
    if not (waiting and climbed):
        return ""
    return (
        f"q does not fit {percent(waiting + climbed)} of the data; a random part of these, "
        f"{percent(climbed)} of all, climbed within the budget, and its mean difference corrects "
        "the mean (standard error included)"
    )


def _rate(numbers: Mapping[str, float]) -> str:
    """What was decided by the seconds, as rows that can be typed."""
    if "escalated_seconds" not in numbers:
        return ""
    rows, seconds = numbers["escalated_rows"], numbers["escalated_seconds"]
    return (
        f"{rows:.3g} rows went through the decoder in {seconds:.0f} s after importance sampling; "
        f"evaluation.budget={rows:.0f} allows as many on any machine"
    )

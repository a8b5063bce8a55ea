"""The rungs of an escalation: an evaluation for each, and the column that says which it was."""

import time
from collections.abc import Mapping
from enum import IntEnum

import torch
from jaxtyping import Float
from torch import Tensor

from vi.evaluation.annealing.annealed_importance_sampling import AnnealedImportanceSampling
from vi.evaluation.annealing.base import rows_of
from vi.evaluation.annealing.choice import refined
from vi.evaluation.base import Evaluation
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement

Columns = dict[str, Float[Tensor, " B"]]


class Rung(IntEnum):
    """How log p(x) of a datum was measured; the numbers of the column ``rung``."""

    EXACT = 0
    """By the closed form of the model."""
    ENUMERATED = 1
    """By a sum over all states of a discrete z."""
    ENCODER = 2
    """By importance sampling from the encoder's q."""
    REFINED = 3
    """By importance sampling from a q that was refined for the datum."""
    ANNEALED = 4
    """By annealed importance sampling."""


def on(rung: Rung, columns: Columns) -> Columns:
    """Return the columns with the rung that they are from."""
    return columns | {"rung": torch.full_like(columns["log_likelihood"], rung)}


def exact(rung: Rung, value: Float[Tensor, " B"]) -> Columns:
    """Return the columns of values without an error."""
    value = value.double()
    without = torch.zeros_like(value), torch.full_like(value, -torch.inf)
    names = "log_likelihood", "standard_error", "pareto_k"
    return on(rung, dict(zip(names, (value, *without), strict=True)))


class FromRefined(Evaluation):
    """Importance sampling from the refined q of each datum.

    Args:
        importance: With its K.
        refinement: Moves q.
    """

    def __init__(self, importance: ImportanceSampling, refinement: Refinement) -> None:
        self.importance, self.refinement = importance, refinement

    @property
    def rows(self) -> int:
        """Rows that a datum sends through the decoder."""
        return self.importance.num_samples + rows_of(self.refinement)

    def __call__(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Columns:
        """The columns of importance sampling, and what they took."""
        start = time.perf_counter()
        found = self.importance(refined(model, self.refinement), x, **given)
        return on(Rung.REFINED, found) | _spent("refined", found, self.rows, start)

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """As importance sampling does."""
        return self.importance.summarize(columns)


class Annealed(Evaluation):
    """The last rung: chains from the refined q of each datum, or from where they start themselves.

    Args:
        annealing: With its chains.
        refinement: Moves q, unless the annealing has a refinement of its own.
    """

    def __init__(self, annealing: AnnealedImportanceSampling, refinement: Refinement) -> None:
        own = annealing.from_prior or annealing.refinement is not None
        self.annealing, self.refinement = annealing, None if own else refinement

    @property
    def rows(self) -> int:
        """Rows that a datum sends through the decoder."""
        return self.annealing.cost + rows_of(self.refinement)

    def __call__(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Columns:
        """The columns of annealed importance sampling, ``chains``, and what they took."""
        start = time.perf_counter()
        found = self.annealing(refined(model, self.refinement), x, **given)
        chains = torch.full_like(found["log_likelihood"], self.annealing.num_samples)
        spent = _spent("annealed", found, self.rows, start)
        return on(Rung.ANNEALED, found) | spent | {"chains": chains}

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """As annealed importance sampling does."""
        return self.annealing.summarize(columns)


def _spent(name: str, found: Columns, rows: int, start: float) -> Columns:
    """Rows through the decoder and seconds of each datum, on average."""
    value = found["log_likelihood"]
    seconds = (time.perf_counter() - start) / len(value)
    spent = {"rows": float(rows), "seconds": seconds}
    return {f"{name}_{what}": torch.full_like(value, number) for what, number in spent.items()}

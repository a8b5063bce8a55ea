"""How far each datum has come, read from the columns."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vi.evaluation.annealing.spread import error_is_known
from vi.evaluation.escalation.rungs import Rung
from vi.evaluation.reliability import reliable


@dataclass(frozen=True)
class Reached:
    """Which data of N can be trusted, and which rung each has reached.

    Args:
        columns: Of an escalation, (N,) each.
        num_samples: K of the first two rungs.
    """

    columns: Mapping[str, Float[Tensor, " N"]]
    num_samples: int

    @property
    def rung(self) -> Float[Tensor, " N"]:
        """The rung of each datum."""
        return self.columns["rung"]

    @property
    def is_exact(self) -> bool:
        """Whether the values have no error."""
        return bool((self.rung < Rung.ENCODER).all())

    @property
    def unfit(self) -> Bool[Tensor, " N"]:
        """U: the data whose estimate from the encoder's q cannot be trusted."""
        if self.is_exact:
            return torch.zeros_like(self.rung, dtype=torch.bool)
        return ~reliable(self.columns["encoder_pareto_k"], self.num_samples)

    @property
    def escalated(self) -> Bool[Tensor, " N"]:
        """S: those of them that have climbed."""
        return self.rung > Rung.ENCODER

    def spent(self, what: str) -> float:
        """The ``rows`` through the decoder, or ``seconds``, of all rungs above the first."""
        names = (f"refined_{what}", f"annealed_{what}")
        return sum(self.columns[n].nansum().item() for n in names if n in self.columns)

    def waiting(self) -> Int64[Tensor, " W"]:
        """The rows of data that a refined q does not fit either."""
        return (self._on(Rung.REFINED) & ~self._fit_by_refined()).nonzero()[:, 0]

    @property
    def trusted(self) -> Bool[Tensor, " N"]:
        """Whether the error of a datum's estimate is known: by k, or by the spread of chains."""
        fit = ~self.unfit & ~self.escalated
        fit |= self._on(Rung.REFINED) & self._fit_by_refined()
        return fit | self._fit_by_annealing()

    def _on(self, rung: Rung) -> Bool[Tensor, " N"]:
        return self.rung == rung

    def _fit_by_refined(self) -> Bool[Tensor, " N"]:
        """By k from the refined q, pooled over all data that were refined."""
        fit = torch.zeros_like(self.rung, dtype=torch.bool)
        if "refined_seconds" in self.columns:
            rows = ~self.columns["refined_seconds"].isnan()
            fit[rows] = reliable(self.columns["pareto_k"][rows], self.num_samples)
        return fit

    def _fit_by_annealing(self) -> Bool[Tensor, " N"]:
        """By the spread of the chains' weights, all data together."""
        of = self._on(Rung.ANNEALED)
        if not of.any():
            return of
        names = ("effective_sample_size", "acceptance", "chains")
        effective, acceptance, chains = (self.columns[name][of] for name in names)
        known = error_is_known(effective, acceptance, int(chains[0]))
        return of if known else torch.zeros_like(of)

"""Evaluations that anneal from q(z|x) to the posterior."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.repeated import Repeated
from vi.errors import require_positive
from vi.evaluation.annealing.chains import Annealing
from vi.evaluation.annealing.choice import refined
from vi.evaluation.annealing.temperatures import Temperatures
from vi.evaluation.base import Evaluation, require_samples
from vi.fast import session
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement

_PILOT = 50  # temperatures of the run that finds the step sizes
# Decoded entries and data of a group: few enough for a processor's cache, many enough to hide the
# cost of a call. The noise is that of the datum, so that no number depends on them.
_ENTRIES = {"cpu": 1 << 19, "cuda": 1 << 24}
_LEAST, _MOST = 4, 512


class ByAnnealing(Evaluation):
    """An evaluation by chains from a start q(z) to p(x, z), many of many data at once.

    An implementer writes ``anneal`` and ``summarize``. The step sizes are found in a pilot run
    and then held, so that the weights are unbiased.

    Args:
        temperatures: How the inverse temperatures are spread.
        num_samples: C, chains for each datum.
        num_temperatures: T.
        num_leapfrog_steps: Gradients of a transition; of discrete z, proposals.
        refinement: Moves q first, if it is given: an encoder's narrow q is a poor start. A q that
            has no gradient to follow stays as it is.
        from_prior: Start at p(z) instead.
    """

    units: ClassVar[Mapping[str, str]] = {"acceptance": "share of proposals"}

    def __init__(
        self,
        temperatures: Temperatures,
        num_samples: int = 16,
        num_temperatures: int = 1000,
        num_leapfrog_steps: int = 5,
        refinement: Refinement | None = None,
        *,
        from_prior: bool = False,
    ) -> None:
        require_samples(num_samples)
        require_positive("num_temperatures", num_temperatures)
        require_positive("num_leapfrog_steps", num_leapfrog_steps)
        self.temperatures, self.num_samples = temperatures, num_samples
        self.num_temperatures, self.num_leapfrog_steps = num_temperatures, num_leapfrog_steps
        self.refinement, self.from_prior = refinement, from_prior

    @property
    def cost(self) -> int:
        """Rows that one datum sends through the decoder."""
        pilot = min(_PILOT, self.num_temperatures)
        chains = self.num_samples * self.num_leapfrog_steps * (self.num_temperatures + pilot)
        return chains + rows_of(self.refinement)

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """The columns of ``anneal``, group by group."""
        groups = []
        with session(None, model), _frozen(model):
            for rows in groups_of_rows(len(x), self._at_once(x)):
                groups.append(self.anneal(model, x[rows], {k: v[rows] for k, v in given.items()}))
        return {name: torch.cat([group[name] for group in groups]) for name in groups[0]}

    def _at_once(self, x: Tensor) -> int:
        entries = _ENTRIES.get(x.device.type, _ENTRIES["cpu"])
        return min(_MOST, max(_LEAST, entries // (self.num_samples * x[0].numel())))

    @abstractmethod
    def anneal(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, " B"]]:
        """Measure each datum of a group."""

    def path(self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]) -> Annealing:
        """Return the path of a group, with step sizes."""
        betas = self.temperatures(self.num_temperatures)
        start = self._start(model, x, given)
        path = Annealing(model, x, start, given, betas, self.num_leapfrog_steps)
        path.adapt(self.num_samples, self.temperatures(min(_PILOT, self.num_temperatures)))
        return path

    def _start(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> Distribution:
        if self.from_prior:
            return prior_of_each(model, x, given)
        return refined(model, self.refinement).posterior(x, **given)


@contextmanager
def _frozen(model: LatentVariableModel) -> Iterator[None]:
    """Compute no gradient of a parameter inside the ``with`` block, which takes a tenth longer."""
    learned = [p for p in model.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad = True


def rows_of(refinement: Refinement | None) -> int:
    """Return how many rows the refinement of a datum sends through the decoder."""
    return refinement.num_steps * refinement.num_draws if refinement is not None else 0


def prior_of_each(model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]) -> Distribution:
    """Return p(z) with batch_shape (B,)."""
    p = model.prior(**given)
    return p if p.batch_shape else Repeated(p, len(x))

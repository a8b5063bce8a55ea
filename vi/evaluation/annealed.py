"""log p(x) of a data set by annealed importance sampling."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import groups_of_rows
from vi.errors import require_positive
from vi.evaluation.annealing import Annealing
from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.log_likelihood import DATA_AT_ONCE
from vi.evaluation.temperatures import Temperatures
from vi.fast import session
from vi.inference.refined import Refined
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement

_PILOT = 50  # temperatures of the run that finds the step sizes


class AnnealedImportanceSampling(Evaluation):
    """log p(x) from chains that move from q(z|x) to the posterior by Hamiltonian Monte Carlo.

    log (1/C) sum_c w_c with the weights of ``Annealing``: a lower bound on average, whatever q is,
    and far tighter than plain importance sampling where q misses a part of the posterior. The
    step sizes are found in a pilot run and then held, so that the estimate of p(x) is unbiased.

    Args:
        temperatures: How the inverse temperatures are spread.
        num_samples: C, chains for each datum.
        num_temperatures: T.
        num_leapfrog_steps: Gradients of a transition.
        refinement: Moves q first, if it is given: an encoder's narrow q is a poor start.
        from_prior: Start at p(z) instead.

    Reference: Wu, Burda, Salakhutdinov and Grosse, 2017, https://arxiv.org/abs/1611.04273
    """

    units: ClassVar = {"acceptance": "share of proposals"}

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
        return self.num_samples * self.num_leapfrog_steps * (self.num_temperatures + pilot)

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """The estimate of each datum, its error, and how many proposals were accepted."""
        groups = []
        with session(None, model):
            for rows in groups_of_rows(len(x), DATA_AT_ONCE):
                groups.append(
                    self._measured(model, x[rows], {k: v[rows] for k, v in given.items()})
                )
        value, error, ess, acceptance = torch.cat(groups, -1)
        return {
            "log_likelihood": value,
            "standard_error": error,
            "effective_sample_size": ess,
            "acceptance": acceptance,
        }

    def annealing(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> Annealing:
        """The path of a batch, with step sizes."""
        betas = self.temperatures(self.num_temperatures)
        start = self._start(model, x, given)
        path = Annealing(model, x, start, given, betas, self.num_leapfrog_steps)
        path.adapt(self.num_samples, self.temperatures(min(_PILOT, self.num_temperatures)))
        return path

    def _start(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> Distribution:
        if self.from_prior:
            return model.prior(**given).expand((len(x),))
        if self.refinement is not None:
            model = model.with_inference(Refined(model.inference, self.refinement))
        return model.posterior(x, **given)

    def _measured(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> Float[Tensor, "4 B"]:
        found = self.annealing(model, x, given).forward(self.num_samples)
        ess = (2 * found.log_w.logsumexp(0) - (2 * found.log_w).logsumexp(0)).exp()
        error = (1 / ess - 1 / len(found.log_w)).clamp_min(0).sqrt()
        if len(found.log_w) == 1:
            error = torch.full_like(error, math.nan)
        return torch.stack([log_mean_exp(found.log_w, 0), error, ess, found.acceptance.double()])

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Means, and the Monte-Carlo error of the mean of log p(x)."""
        value, error = columns["log_likelihood"], columns["standard_error"]
        numbers = {
            "log_likelihood": value.mean().item(),
            "log_likelihood_chains": self.num_samples,
        }
        if self.num_samples > 1:
            numbers["log_likelihood_se"] = error.square().sum().sqrt().item() / len(value)
        if len(value) > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(len(value))
        return numbers | {"acceptance": columns["acceptance"].mean().item()}

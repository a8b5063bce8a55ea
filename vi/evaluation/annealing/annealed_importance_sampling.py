"""log p(x) of a data set by annealed importance sampling."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from vi.evaluation.annealing.base import ByAnnealing
from vi.evaluation.annealing.spread import BIAS, error_is_known
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel


class AnnealedImportanceSampling(ByAnnealing):
    """log p(x) from chains that move from q(z|x) to the posterior.

    log (1/C) sum_c w_c with the weights of ``Annealing``: a lower bound on average, whatever q is,
    and far tighter than plain importance sampling where q misses a part of the posterior. Real z
    move by Hamiltonian Monte Carlo, discrete ones by proposals for one variable at a time. The
    step sizes are found in a pilot run and then held, so that the estimate of p(x) is unbiased. A
    95 % interval of the mean is stated where the chains' weights are close (``error_is_known``).

    Args:
        temperatures: How the inverse temperatures are spread.
        num_samples: C, chains for each datum.
        num_temperatures: T.
        num_leapfrog_steps: Gradients of a transition; of discrete z, proposals.
        refinement: Moves q first, if it is given: an encoder's narrow q is a poor start. A q that
            has no gradient to follow stays as it is.
        from_prior: Start at p(z) instead.

    Reference: Wu, Burda, Salakhutdinov and Grosse, 2017, https://arxiv.org/abs/1611.04273
    """

    def anneal(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, " B"]]:
        """The estimate of each datum, its error, and how many proposals were accepted."""
        found = self.path(model, x, given).forward(self.num_samples)
        ess = (2 * found.log_w.logsumexp(0) - (2 * found.log_w).logsumexp(0)).exp()
        error = (1 / ess - 1 / len(found.log_w)).clamp_min(0).sqrt()
        if len(found.log_w) == 1:
            error = torch.full_like(error, math.nan)
        return {
            "log_likelihood": log_mean_exp(found.log_w, 0),
            "standard_error": error,
            "effective_sample_size": ess,
            "acceptance": found.acceptance.double(),
        }

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Means, the Monte-Carlo error of the mean of log p(x), and an interval if it is known."""
        value, error = columns["log_likelihood"], columns["standard_error"]
        numbers = {
            "log_likelihood": value.mean().item(),
            "log_likelihood_chains": self.num_samples,
        }
        if self.num_samples > 1:
            numbers["log_likelihood_se"] = error.square().sum().sqrt().item() / len(value)
            if error_is_known(
                columns["effective_sample_size"], columns["acceptance"], self.num_samples
            ):
                se, mean = numbers["log_likelihood_se"], numbers["log_likelihood"]
                room = BIAS * error.square().mean().item()
                numbers["log_likelihood_lower"] = mean - 2 * se
                numbers["log_likelihood_upper"] = mean + 2 * se + room
        if len(value) > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(len(value))
        return numbers | {"acceptance": columns["acceptance"].mean().item()}

"""The gap log p(x) - ELBO(q), split between the family of q and the encoder."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from vi.bounds.elbo import LogWeightELBO
from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.errors import require_positive
from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.log_likelihood import DATA_AT_ONCE, chunks
from vi.inference.base import require_parametric
from vi.inference.given import with_q
from vi.models.base import LatentVariableModel
from vi.progress import watched
from vi.refinement.base import Refinement


class InferenceGaps(Evaluation):
    """The gap log p(x) - ELBO(q), as the sum of an approximation gap and an amortization gap.

    Let q* be the best q of the family for one datum, found by refining the encoder's output. Then

        log p(x) - ELBO(q) = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q)].

    The first term is the approximation gap, which a richer family of q closes. The second is the
    amortization gap, which a better encoder or longer training closes. log p(x) is estimated by
    importance sampling from q*.

    Args:
        refinement: Finds q*; it needs enough steps to converge.
        num_samples: K, the number of draws in each of the three means for each datum.
        num_draws: Number of draws for each gradient of the refinement.

    Raises:
        ConfigurationError: A number of draws is not positive, or ``num_samples`` is above ten
            million.

    Reference: Cremer, Li and Duvenaud, 2018, https://arxiv.org/abs/1801.03558
    """

    def __init__(
        self, refinement: Refinement, num_samples: int = 1000, num_draws: int = 10
    ) -> None:
        require_samples(num_samples)
        require_positive("num_draws", num_draws)
        self.refinement, self.num_samples = refinement, num_samples
        self.bound = LogWeightELBO(num_draws)

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Return log p(x), ELBO(q*) and both gaps in nats, each (B,).

        Raises:
            ConfigurationError: q(z|x) has no variational parameters to refine.
        """
        groups = []
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            group = {k: v[rows] for k, v in given.items()}
            groups.append(self._measured(model, x[rows], group))
        elbo, refined_elbo, log_likelihood = torch.cat(groups, -1)
        return {
            "log_likelihood": log_likelihood,
            "refined_elbo": refined_elbo,
            "approximation_gap": log_likelihood - refined_elbo,
            "amortization_gap": refined_elbo - elbo,
        }

    def _measured(
        self, model: LatentVariableModel, x: Tensor, given: Mapping[str, Tensor]
    ) -> Float[Tensor, "3 B"]:
        """Return ELBO(q), ELBO(q*) and log p(x), (3, B)."""
        inference = require_parametric(model.inference, type(self).__name__)
        said = inference.parameters_of(model, x, **given)

        def climbed(parameters: Tensor) -> Tensor:
            q = inference.at(model, parameters)
            return self.bound(with_q(model, q), x, **given).surrogate

        best = self.refinement(climbed, said)
        at = watched((said, best))
        (elbo, _), refined = (self._means(model, parameters, x, given) for parameters in at)
        return torch.stack([elbo, *refined])

    def _means(
        self,
        model: LatentVariableModel,
        parameters: Tensor,
        x: Tensor,
        given: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of log w and the log of the mean of w = p(x, z) / q(z), (B,) each."""
        inference = require_parametric(model.inference, type(self).__name__)
        q, sums, log_sums, drawn = inference.at(model, parameters), [], [], 0
        for size in watched(list(chunks(self.num_samples, x))):
            at = draw(q, size)
            log_w = (model.log_joint(x, at.z, **given) - at.log_q).double()
            drawn += len(log_w)
            sums.append(log_w.sum(0))
            log_sums.append(log_w.logsumexp(0))
        log_mean = torch.stack(log_sums).logsumexp(0) - math.log(drawn)
        return torch.stack(sums).sum(0) / drawn, log_mean

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Return the mean of each column in nats per datum, and its standard error over data."""
        numbers = {name: column.mean().item() for name, column in columns.items()}
        for name, column in columns.items():
            if len(column) > 1:
                numbers[f"{name}_data_se"] = column.std().item() / math.sqrt(len(column))
        return numbers

"""How far the bound is from log p(x), and whether the family of q or the encoder is to blame."""

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
    """log p(x) - ELBO(q), as what the family of q costs and what the encoder costs.

    With q* the best q of the family for one datum, which is where refining what the encoder says
    has come to,

        log p(x) - ELBO(q) = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q)]:

    the approximation gap, that a richer family closes, and the amortization gap, that a better
    encoder or more training closes. log p(x) is the importance-sampling estimate from q*.

    Args:
        refinement: How q* is found; enough steps for it to stand still.
        num_samples: K, of each of the three means for each datum.
        num_draws: Of each gradient on the way to q*.

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
        """See ``Evaluation``."""
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
        """ELBO(q), ELBO(q*) and log p(x)."""
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
        """The mean of log w and the logarithm of the mean of w, (B,), w = p(x, z) / q(z)."""
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
        """See ``Evaluation``; with what another test set of the same size would change."""
        numbers = {name: column.mean().item() for name, column in columns.items()}
        for name, column in columns.items():
            if len(column) > 1:
                numbers[f"{name}_data_se"] = column.std().item() / math.sqrt(len(column))
        return numbers

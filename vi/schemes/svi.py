"""One free q for every training datum."""

from typing import Any, Unpack

from jaxtyping import Integer
from torch import Tensor
from torch.nn import Parameter

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.errors import require_positive
from vi.inference.base import require_parametric
from vi.inference.given import with_q
from vi.inference.per_datum import PerDatum
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement
from vi.schemes.base import Context
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    inference_and_generative,
    loss,
)


class SVI(GradientScheme):
    """E-step: refine the batch's own lambda_n, where it was left. M-step: one step of theta.

    The only place for inference that is not amortised: the encoder is neither trained nor asked,
    except once for the shape of lambda. What the q of all data share beside lambda, such as the
    networks of a flow, steps with theta. Unseen data are fitted from where the training data
    began, and so does the model that is saved.

    Args:
        refinement: The steps on the q of the training data, at every visit.
        fit_factor: Unseen data get so many times as many steps as a visit.
        **options: See ``GradientScheme``.

    Reference: Hoffman, Blei, Wang and Paisley, 2013, https://jmlr.org/papers/v14/hoffman13a.html
    """

    def __init__(
        self,
        refinement: Refinement,
        fit_factor: int = 10,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(**options)
        self.refinement = refinement
        require_positive("fit_factor", fit_factor)
        self.fit_factor = fit_factor
        self.table: Tensor | None = None

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """Theta, what the q of all data share, and the parameters of the bound."""
        theta = inference_and_generative(model, bound)[1]
        return [[*theta, *self._per_datum(model).shared_parameters(), *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """An E-step for the data of the batch and an M-step."""
        model, bound = context.model, context.bound
        x, given, index = batch.x, batch.given, batch.index
        assert index is not None  # training data have one
        q = self._per_datum(model)
        if self.table is None:
            self.table = q.table = q.open(model, x, self.num_data, **given)
        self.enter("e")
        end = q.update(model, x, index, **given)
        self.enter("m")
        estimate = bound(with_q(model, q.at(model, end)), x, **given)
        self.descend(loss(estimate), context)
        return estimate

    def inference(
        self,
        model: LatentVariableModel,
        bound: Bound,
        index: Integer[Tensor, " B"] | None = None,
    ) -> LatentVariableModel:
        """With the q of these training data, or with one fitted to unseen data."""
        del bound
        q = self._per_datum(model)
        if index is None or self.table is None:
            return model.with_inference(q)
        return with_q(model, q.at(model, self.table[index]))

    def _per_datum(self, model: LatentVariableModel) -> PerDatum:
        """The family of the model's q, with the table of this scheme."""
        family = require_parametric(model.inference, type(self).__name__).family
        q = PerDatum(family, self.refinement, self.fit_factor)
        q.table = self.table
        return q

    def state_dict(self) -> dict[str, Any]:
        """lambda of every training datum."""
        return {"table": self.table}

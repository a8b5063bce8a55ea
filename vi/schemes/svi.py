"""Stochastic variational inference: a free q for every training datum."""

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
    """Refines a stored lambda_n of each datum (E-step), then takes one step on theta (M-step).

    This inference is not amortised: the encoder is not trained, and is evaluated only once, for
    the shape of lambda. The parameters that the q of all data share, such as the networks of a
    flow, are updated together with theta. For unseen data, and in the saved model, lambda is
    fitted from the same start as for the training data.

    The table of lambda_n takes N times the size of one lambda.

    Args:
        refinement: The steps on lambda_n at every visit of datum n.
        fit_factor: For unseen data the number of steps is multiplied by this.
        **options: ``optimizer``, ``schedule`` and ``gradient_clip_norm`` of ``GradientScheme``.

    Raises:
        ConfigurationError: ``fit_factor`` is not positive.

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
        """Return theta, the shared parameters of q, and those of the bound as one group."""
        theta = inference_and_generative(model, bound)[1]
        return [[*theta, *self._per_datum(model).shared_parameters(), *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """Do the E-step for the data of the batch, then an M-step."""
        model, bound = context.model, context.bound
        x, given, index = batch.x, batch.given, batch.index
        assert index is not None  # batches of training data have one
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
        """Return the model with the stored q of training data, or with a new q for unseen data."""
        del bound
        q = self._per_datum(model)
        if index is None or self.table is None:
            return model.with_inference(q)
        return with_q(model, q.at(model, self.table[index]))

    def _per_datum(self, model: LatentVariableModel) -> PerDatum:
        """Return the family of the model's q with the table of this scheme."""
        family = require_parametric(model.inference, type(self).__name__).family
        q = PerDatum(family, self.refinement, self.fit_factor)
        q.table = self.table
        return q

    def state_dict(self) -> dict[str, Any]:
        """Return lambda of every training datum, (N, *P)."""
        return {"table": self.table}

"""Start at the encoder's answer, refine it, and learn from where that ends."""

from typing import Unpack

from jaxtyping import Integer
from torch import Tensor
from torch.nn import Parameter

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.inference.base import Parametric, require_parametric
from vi.inference.given import with_q
from vi.inference.objective import objective
from vi.inference.refined import Refined
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement
from vi.schemes.base import Context
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    frozen,
    inference_and_generative,
    loss,
)


class SemiAmortised(GradientScheme):
    """The bound at lambda_T, which gradient steps on the ELBO reach from lambda_0 = encoder(x).

    With ``through`` the gradient is the total derivative, through every refinement step, for theta
    and phi. Without it theta climbs the bound at lambda_T, held, and phi the bound at lambda_0.
    Evaluation refines q as well, and so does the model that is saved.

    Args:
        refinement: The steps on q.
        through: Differentiate through them; costs second derivatives.
        **options: See ``GradientScheme``.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
    """

    has_split = False

    def __init__(
        self,
        refinement: Refinement,
        *,
        through: bool = True,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(**options)
        self.refinement = refinement
        self.through = through

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """All in one; the model has to have an encoder."""
        _, theta = inference_and_generative(model, bound)
        return [[*self._family(model).own_parameters(), *theta, *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """See ``Scheme``."""
        self.enter("joint")
        model, bound, x, given = context.model, context.bound, batch.x, batch.given
        family = self._family(model)
        start = family.parameters_of(model, x, **given)
        climbed = objective(family, model, x, given, self.refinement.num_draws)
        end = self.refinement(climbed, start, differentiable=self.through)
        estimate = bound(with_q(model, family.at(model, end)), x, **given)
        total = loss(estimate)
        if not self.through:
            with frozen(model.generative_parameters()):
                at_start = bound(with_q(model, family.at(model, start)), x, **given)
            total = total + loss(at_start)
        self.descend(total, context)
        return estimate

    def inference(
        self,
        model: LatentVariableModel,
        bound: Bound,
        index: Integer[Tensor, " B"] | None = None,
    ) -> LatentVariableModel:
        """With q refined from the encoder's answer."""
        del bound, index
        return model.with_inference(Refined(self._family(model), self.refinement))

    def _family(self, model: LatentVariableModel) -> Parametric:
        return require_parametric(model.inference, type(self).__name__).family

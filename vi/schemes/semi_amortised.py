"""Start at the encoder's answer, refine it, and learn from where that ends."""

from collections.abc import Callable, Sequence
from typing import Unpack

from jaxtyping import Integer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from vi.bounds.base import Bound, Estimate
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement
from vi.refinement.posterior_of import PosteriorOf
from vi.refinement.refined import Refined
from vi.schemes.base import Batch
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    frozen,
    inference_and_generative,
    loss,
)


class SemiAmortised(GradientScheme):
    """The bound at lambda_T, which gradient steps on q reach from lambda_0 = encoder(x).

    With ``through`` the gradient is the total derivative, through every refinement step, for theta
    and phi. Without it theta climbs the bound at lambda_T, held, and phi the bound at lambda_0.
    Evaluation refines q as well, and so does the model that is saved.

    Args:
        refinement: The steps on q.
        through: Differentiate through them; costs second derivatives.
        **options: See ``GradientScheme``.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
    """

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
        return [[*model.inference_parameters(), *theta, *bound.parameters()]]

    def step(
        self,
        bound: Bound,
        model: LatentVariableModel,
        batch: Batch,
        optimizers: Sequence[Optimizer],
        backward: Callable[[Tensor], None],
    ) -> Estimate:
        """See ``Scheme``."""
        self.enter("joint")
        x, given = batch.x, batch.given
        start = model.variational_parameters(x, **given)
        end = self.refinement(model, bound, x, start, given, differentiable=self.through)
        estimate = bound(PosteriorOf(model, model.posterior_at(end)), x, **given)
        total = loss(estimate)
        if not self.through:
            with frozen(model.generative_parameters()):
                at_start = bound(PosteriorOf(model, model.posterior_at(start)), x, **given)
            total = total + loss(at_start)
        self.descend(total, optimizers, backward)
        return estimate

    def inference(
        self,
        model: LatentVariableModel,
        bound: Bound,
        index: Integer[Tensor, " B"] | None = None,
    ) -> LatentVariableModel:
        """With q refined from the encoder's answer."""
        del index
        return Refined(model, bound, self.refinement)

"""Semi-amortised inference: refine the encoder's q for each datum, and train through it."""

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
    """Maximises the bound at lambda_T, reached by gradient steps on the ELBO from encoder(x).

    The refinement starts at lambda_0 = encoder(x) and takes T steps for each datum. With
    ``through`` the gradient is the total derivative in theta and phi, through every refinement
    step. Without it, theta maximises the bound at the constant lambda_T, and phi maximises the
    bound at lambda_0. Evaluation and the saved model refine q as well.

    Args:
        refinement: The steps on lambda.
        through: Whether to differentiate through the steps, which needs second derivatives.
        **options: ``optimizer``, ``schedule`` and ``gradient_clip_norm`` of ``GradientScheme``.

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
        """Return all parameters as one group.

        Raises:
            ConfigurationError: The model has no encoder.
        """
        _, theta = inference_and_generative(model, bound)
        return [[*self._family(model).own_parameters(), *theta, *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """Refine the encoder's q for the batch and take one gradient step on the bound."""
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
        """Return the model with q refined from the encoder's output."""
        del bound, index
        return model.with_inference(Refined(self._family(model), self.refinement))

    def _family(self, model: LatentVariableModel) -> Parametric:
        return require_parametric(model.inference, type(self).__name__).family

"""Gradient steps on q and theta together."""

from torch.nn import Parameter

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context
from vi.schemes.gradient import GradientScheme, loss


class Joint(GradientScheme):
    """One optimiser that maximises the bound in theta and phi together, as for a VAE.

    Args:
        optimizer: Makes the optimiser from all parameters.
        schedule: Makes the learning-rate schedule; None keeps the rate constant.
        gradient_clip_norm: Largest norm of the gradient; None does not clip.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114
    """

    repeats = True
    has_split = False
    needs_encoder = False
    averages_gradients = True

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """Return all parameters of the model and of the bound as one group."""
        return [[*model.parameters(), *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """Take one gradient step on the bound."""
        self.enter("joint")
        estimate = context.bound(context.model, batch.x, **batch.given)
        self.descend(loss(estimate), context)
        return estimate

"""E and M in one gradient step."""

from torch.nn import Parameter

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context
from vi.schemes.gradient import GradientScheme, loss


class Joint(GradientScheme):
    """One optimiser climbs the bound in theta and phi at once."""

    repeats = True
    has_split = False
    needs_encoder = False
    averages_gradients = True

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """All in one."""
        return [[*model.parameters(), *bound.parameters()]]

    def step(self, context: Context, batch: Batch) -> Estimate:
        """See ``Scheme``."""
        self.enter("joint")
        estimate = context.bound(context.model, batch.x, **batch.given)
        self.descend(loss(estimate), context)
        return estimate

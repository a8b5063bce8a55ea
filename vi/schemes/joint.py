"""E and M in one gradient step."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from vi.bounds.base import Bound, Estimate
from vi.models.base import LatentVariableModel
from vi.schemes.base import Batch
from vi.schemes.gradient import GradientScheme, loss


class Joint(GradientScheme):
    """One optimiser climbs the bound in theta and phi at once."""

    repeats = True
    needs_encoder = False

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """All in one."""
        return [[*model.parameters(), *bound.parameters()]]

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
        estimate = bound(model, batch.x, **batch.given)
        self.descend(loss(estimate), optimizers, backward)
        return estimate

"""E and M in one gradient step."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound, Estimate
from vi.errors import require_positive
from vi.models.base import LatentVariableModel
from vi.schemes.base import Batch, OptimizerFactory, ScheduleFactory, Scheme, loss


class Joint(Scheme):
    """One optimiser climbs the bound in theta and phi at once.

    Args:
        optimizer: Makes the optimiser from the parameters.
        schedule: Makes the learning-rate schedule from the optimiser; constant if not given.
        gradient_clip_norm: The norm of the whole gradient is clipped to this; None leaves it.
    """

    def __init__(
        self,
        optimizer: OptimizerFactory = Adam,
        schedule: ScheduleFactory | None = None,
        gradient_clip_norm: float | None = None,
    ) -> None:
        if gradient_clip_norm is not None:
            require_positive("gradient_clip_norm", gradient_clip_norm)
        self.optimizer = optimizer
        self.schedule = schedule
        self.gradient_clip_norm = gradient_clip_norm

    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """One optimiser for the parameters of the model and of the bound."""
        optimizer = self.optimizer([*model.parameters(), *bound.parameters()])
        return [optimizer], [self.schedule(optimizer)] if self.schedule else []

    def step(
        self,
        bound: Bound,
        model: LatentVariableModel,
        batch: Batch,
        optimizers: Sequence[Optimizer],
        backward: Callable[[Tensor], None],
    ) -> Estimate:
        """See ``Scheme``."""
        (optimizer,) = optimizers
        estimate = bound(model, batch.x, **batch.given)
        optimizer.zero_grad()
        backward(loss(estimate))
        if self.gradient_clip_norm is not None:
            parameters = [p for g in optimizer.param_groups for p in g["params"]]
            clip_grad_norm_(parameters, self.gradient_clip_norm)
        optimizer.step()
        return estimate

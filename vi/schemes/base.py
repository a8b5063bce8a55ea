"""The role of a scheme: it owns the optimisers, the stepping, the clipping and the schedules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound, Estimate
from vi.models.base import LatentVariableModel
from vi.options import Option

OptimizerFactory = Callable[..., Optimizer]
ScheduleFactory = Callable[[Optimizer], LRScheduler]


@runtime_checkable
class Batch(Protocol):
    """What a step sees: data and what the model conditions on."""

    @property
    def x(self) -> Tensor:
        """(B, *event)."""
        ...

    @property
    def given(self) -> dict[str, Tensor]:
        """By name, (B, ...)."""
        ...


class Scheme(Option, ABC):
    """A way to take turns between q and theta.

    An implementer writes ``configure`` and ``step``.
    """

    @abstractmethod
    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """The optimisers, and the schedules that step once an epoch."""

    @abstractmethod
    def step(
        self,
        bound: Bound,
        model: LatentVariableModel,
        batch: Batch,
        optimizers: Sequence[Optimizer],
        backward: Callable[[Tensor], None],
    ) -> Estimate:
        """Take one step on a batch and return its estimate."""


def loss(estimate: Estimate) -> Tensor:
    """What is minimised: minus the batch mean of the surrogate."""
    return -estimate.surrogate.mean()

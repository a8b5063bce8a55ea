"""The role of a scheme: it owns the optimisers, the stepping, the clipping and the schedules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Integer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.models.base import LatentVariableModel
from vi.options import Configurable
from vi.schemes.ledger import Ledger, Phase


@dataclass(frozen=True)
class Context:
    """What a step works with.

    Args:
        model: What is trained.
        bound: What is climbed.
        optimizers: Those that ``configure`` made.
        backward: Computes the gradient of a loss.
    """

    model: LatentVariableModel
    bound: Bound
    optimizers: Sequence[Optimizer] = ()
    backward: Callable[[Tensor], None] = Tensor.backward


class Scheme(Configurable, ABC):
    """A way to take turns between q and theta.

    An implementer writes ``configure`` and ``step``, and calls ``enter`` before steps of another
    phase. The other methods have defaults that suit a scheme without memory.
    """

    repeats: bool = False
    """Whether every step is the same work on the device, so that a recording of it will do."""
    averages_gradients: bool = False
    """Whether processes that average their gradients compute together what one would alone."""
    fixed_data: bool = False
    """Whether every epoch must see the same data in the same batches."""
    keeps_last: bool = False
    """Whether the result is where training ends, and not where the validation bound was best."""
    has_split: bool = True
    """Whether there are E-steps and M-steps, and not only steps that are both."""
    converged: bool = False
    """Set when nothing can be won any more: training ends after this epoch."""
    ledger: Ledger | None = None
    """Told which phase wins what, if anybody asks."""
    num_data: int = 0
    """Of the training data; set before the first step."""

    @abstractmethod
    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """The optimisers, and the schedules that step once an epoch.

        Raises:
            ConfigurationError: The scheme cannot train this model.
        """

    def initialize(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> None:
        """Start a model from training data (N, *event), before the first step of a fresh run."""
        model.initialize(x, **given)

    @abstractmethod
    def step(self, context: Context, batch: Batch) -> Estimate:
        """Take one step on a batch and return its estimate."""

    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """Told after the last step of every epoch.

        Args:
            bound: What is climbed.
            model: What is trained.
            probe: Held-out data, the same in every epoch.
        """

    def inference(
        self,
        model: LatentVariableModel,
        bound: Bound,
        index: Integer[Tensor, " B"] | None = None,
    ) -> LatentVariableModel:
        """The model with the q(z|x) that belongs to this scheme; most train the model's own.

        Args:
            model: What is trained.
            bound: What q is fitted to.
            index: Where the data stand in the training data; None for unseen data.
        """
        del bound, index
        return model

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know: plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        for name, value in state.items():
            setattr(self, name, value)

    def enter(self, phase: Phase) -> None:
        """Say that what follows is of this phase."""
        if self.ledger is not None:
            self.ledger.enter(phase)

"""The interface of training schemes: optimisers, steps, gradient clipping and schedules."""

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
    """The objects that one training step needs.

    Args:
        model: The model to train.
        bound: The bound to maximise.
        optimizers: The optimisers that ``Scheme.configure`` returned, in its order.
        backward: Computes the gradients of a scalar loss; the trainer may scale or synchronise
            them.
    """

    model: LatentVariableModel
    bound: Bound
    optimizers: Sequence[Optimizer] = ()
    backward: Callable[[Tensor], None] = Tensor.backward


class Scheme(Configurable, ABC):
    """A training scheme: which parameters are updated, and when.

    An implementer writes ``configure`` and ``step``, and calls ``enter`` before the steps of
    another phase, so that a ledger can credit each phase with the nats it gains. The remaining
    methods have defaults that suit a scheme without state of its own. The class attributes
    describe the scheme to the trainer; set those that differ. For schemes of gradient steps,
    ``GradientScheme`` adds optimisers, schedules and clipping.

    >>> import torch
    >>> from vi.bounds.elbo import ELBO
    >>> from vi.models.ppca import PPCA
    >>> class Descent(Scheme):
    ...     def configure(self, model, bound):
    ...         return [torch.optim.SGD(model.parameters(), lr=0.1)], []
    ...
    ...     def step(self, context, batch):
    ...         (optimizer,) = context.optimizers
    ...         optimizer.zero_grad()
    ...         estimate = context.bound(context.model, batch.x, **batch.given)
    ...         context.backward(-estimate.surrogate.mean())
    ...         optimizer.step()
    ...         return estimate
    >>> model, bound, scheme = PPCA((4,), latent_dim=2), ELBO(), Descent()
    >>> optimizers, _ = scheme.configure(model, bound)
    >>> scheme.step(Context(model, bound, optimizers), Batch(torch.zeros(3, 4), {})).value.shape
    torch.Size([3])
    """

    repeats: bool = False
    """Whether every step does the same device work, so that a recorded step can be replayed."""
    averages_gradients: bool = False
    """Whether gradients averaged over processes equal those of one process on all the data."""
    fixed_data: bool = False
    """Whether every epoch must present the same data in the same batches."""
    keeps_last: bool = False
    """Whether the result is the last model, not the one with the best validation bound."""
    has_split: bool = True
    """Whether E-steps and M-steps are separate steps."""
    converged: bool = False
    """Set by a scheme that can gain nothing more: training ends after this epoch."""
    ledger: Ledger | None = None
    """Credits each phase with the nats it gains; None records nothing."""
    num_data: int = 0
    """Number of training data N; set before the first step."""

    def objective(self) -> float | None:
        """What it climbs, after an epoch, in nats per datum, where the bound's value is not it."""
        return None

    @abstractmethod
    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Create the optimisers, and the schedules that step once per epoch.

        Args:
            model: The model to train.
            bound: The bound to maximise; it may have parameters, such as baselines.

        Returns:
            The optimisers and the learning-rate schedules; both may be empty.

        Raises:
            ConfigurationError: The scheme cannot train this model.
        """

    def initialize(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> None:
        """Initialise a model from training data x (N, *event), before the first step of a run."""
        model.initialize(x, **given)

    @abstractmethod
    def step(self, context: Context, batch: Batch) -> Estimate:
        """Take one training step.

        Args:
            context: The model, the bound and the optimisers.
            batch: Data x (B, *event), what the model conditions on, and the rows of the data.

        Returns:
            The estimate of the bound before the update, with values (B,) in nats per datum.
        """

    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """Act at the end of an epoch, after its last step. The default does nothing.

        Args:
            bound: The bound to maximise.
            model: The model to train.
            probe: Held-out data, the same in every epoch.
        """

    def inference(
        self,
        model: LatentVariableModel,
        bound: Bound,
        index: Integer[Tensor, " B"] | None = None,
    ) -> LatentVariableModel:
        """Return the model with the q(z|x) that this scheme trains; by default the model's own.

        Args:
            model: The model to train.
            bound: The bound to which q is fitted.
            index: Rows of the data in the training data, (B,); None for unseen data.
        """
        del bound, index
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""
        for name, value in state.items():
            setattr(self, name, value)

    def enter(self, phase: Phase) -> None:
        """Record in the ledger, if there is one, the phase of the steps that follow."""
        if self.ledger is not None:
            self.ledger.enter(phase)

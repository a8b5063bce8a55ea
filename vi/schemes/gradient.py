"""The base of the schemes with gradient steps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TypedDict

from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound, Estimate
from vi.errors import ConfigurationError, require_positive
from vi.models.base import LatentVariableModel
from vi.optimizers.adam import Adam
from vi.schemes.base import Context, Scheme

OptimizerFactory = Callable[..., Optimizer]
ScheduleFactory = Callable[[Optimizer], LRScheduler]
FUSED_ADAM = partial(Adam, fused=True)
"""Adam in one pass over the parameters per step; torch's default makes about twelve."""


class GradientOptions(TypedDict, total=False):
    """The keyword arguments of every gradient scheme; ``GradientScheme`` documents them."""

    optimizer: OptimizerFactory
    schedule: ScheduleFactory | None
    gradient_clip_norm: float | None


class GradientScheme(Scheme):
    """A scheme of gradient steps, with one torch optimiser for each group of parameters.

    An implementer writes ``step``, which computes an estimate and calls ``descend`` on its loss.
    The default groups are phi (the parameters of q and of the bound) and theta (the parameters of
    p); override ``parameter_groups`` for others. A subclass with options of its own passes
    ``**options: Unpack[GradientOptions]`` on.

    Args:
        optimizer: Makes an optimiser from the parameters of a group.
        schedule: Makes the learning-rate schedule of an optimiser; None keeps the rate constant.
        gradient_clip_norm: Largest norm of the gradient of a group; larger ones are scaled down to
            it. None does not clip.

    Raises:
        ConfigurationError: ``gradient_clip_norm`` is not positive.
    """

    needs_encoder: bool = True
    """Whether a model without parameters of q(z|x) is refused."""

    def __init__(
        self,
        optimizer: OptimizerFactory = FUSED_ADAM,
        schedule: ScheduleFactory | None = None,
        gradient_clip_norm: float | None = None,
    ) -> None:
        if gradient_clip_norm is not None:
            require_positive("gradient_clip_norm", gradient_clip_norm)
        self.optimizer = optimizer
        self.schedule = schedule
        self.gradient_clip_norm = gradient_clip_norm

    def parameter_groups(self, model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
        """Return the parameters of each optimiser; the default is [phi, theta]."""
        return inference_and_generative(model, bound)

    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Create one optimiser, and one schedule if any, for each group of parameters."""
        optimizers = [self.optimizer(group) for group in self.parameter_groups(model, bound)]
        return optimizers, [self.schedule(o) for o in optimizers] if self.schedule else []

    def descend(
        self, loss: Tensor, context: Context, optimizers: Sequence[Optimizer] | None = None
    ) -> None:
        """Compute the gradient of a loss, clip it, and step the optimisers.

        Args:
            loss: A scalar, in nats per datum.
            context: The model, the bound and the optimisers.
            optimizers: The optimisers that step; all of the context if not given.
        """
        optimizers = context.optimizers if optimizers is None else optimizers
        for p in chain.from_iterable(map(parameters_of, optimizers)):
            p.grad = None  # what zero_grad() does, at a fifth of its time
        context.backward(loss)
        for optimizer in optimizers:
            if self.gradient_clip_norm is not None:
                clip_grad_norm_(parameters_of(optimizer), self.gradient_clip_norm)
            optimizer.step()


def loss(estimate: Estimate) -> Tensor:
    """Return the quantity to minimise: minus the batch mean of the surrogate."""
    return -estimate.surrogate.mean()


def inference_and_generative(model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
    """Return [phi, theta]; the parameters of the bound (baselines) belong to phi.

    Raises:
        ConfigurationError: The model has no q(z|x) to train.
    """
    phi, theta = model.inference.own_parameters(), model.generative_parameters()
    if not phi:
        raise ConfigurationError(
            f"{type(model).__name__} has no encoder, so an E-step has nothing to train",
            hint="scheme=exact_em takes its exact E-steps; inference=amortized gives an encoder",
        )
    return [[*phi, *bound.parameters()], theta]


def parameters_of(optimizer: Optimizer) -> list[Parameter]:
    """Return the parameters that an optimiser updates."""
    return [p for group in optimizer.param_groups for p in group["params"]]


@contextmanager
def frozen(parameters: Iterable[Parameter]) -> Iterator[None]:
    """Compute no gradients for these parameters inside the ``with`` block."""
    held: Sequence[Parameter] = [p for p in parameters if p.requires_grad]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)

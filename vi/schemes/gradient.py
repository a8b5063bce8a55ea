"""What all schemes of gradient steps share."""

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
"""One pass over the parameters a step, where torch's default makes a dozen."""


class GradientOptions(TypedDict, total=False):
    """What every scheme of gradient steps takes by name: see ``GradientScheme``."""

    optimizer: OptimizerFactory
    schedule: ScheduleFactory | None
    gradient_clip_norm: float | None


class GradientScheme(Scheme):
    """Optimisers of torch, one for each group of parameters.

    An implementer writes ``step``, which calls ``descend``; and ``parameter_groups`` where it is
    not one optimiser for phi and one for theta. One with options of its own hands
    ``**options: Unpack[GradientOptions]`` on.

    Args:
        optimizer: Makes an optimiser from parameters, for each group.
        schedule: Makes the learning-rate schedule from an optimiser; constant if not given.
        gradient_clip_norm: The norm of the gradient of a group is clipped to this; None leaves it.
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
        """The parameters of each optimiser: phi and theta."""
        return inference_and_generative(model, bound)

    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """See ``Scheme``."""
        optimizers = [self.optimizer(group) for group in self.parameter_groups(model, bound)]
        return optimizers, [self.schedule(o) for o in optimizers] if self.schedule else []

    def descend(
        self, loss: Tensor, context: Context, optimizers: Sequence[Optimizer] | None = None
    ) -> None:
        """One step of every optimiser, or of these."""
        optimizers = context.optimizers if optimizers is None else optimizers
        for p in chain.from_iterable(map(parameters_of, optimizers)):
            p.grad = None  # what zero_grad() does, at a fifth of its time
        context.backward(loss)
        for optimizer in optimizers:
            if self.gradient_clip_norm is not None:
                clip_grad_norm_(parameters_of(optimizer), self.gradient_clip_norm)
            optimizer.step()


def loss(estimate: Estimate) -> Tensor:
    """What is minimised: minus the batch mean of the surrogate."""
    return -estimate.surrogate.mean()


def inference_and_generative(model: LatentVariableModel, bound: Bound) -> list[list[Parameter]]:
    """[phi, theta]; the parameters of the bound (baselines) go with phi.

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
    """What an optimiser moves."""
    return [p for group in optimizer.param_groups for p in group["params"]]


@contextmanager
def frozen(parameters: Iterable[Parameter]) -> Iterator[None]:
    """Within this block no gradient is computed for these parameters."""
    held: Sequence[Parameter] = [p for p in parameters if p.requires_grad]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)

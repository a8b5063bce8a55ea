"""Detection of hooks and callbacks that observe a step, and would miss a replayed one."""

from collections.abc import Iterable
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    LearningRateMonitor,
    ModelSummary,
    ProgressBar,
)
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

# Callbacks of Lightning that change nothing of a step.
_ONLY_LOOK = (Checkpoint, EarlyStopping, LearningRateMonitor, ModelSummary, ProgressBar)


def is_step_observed(trainer: pl.Trainer, parts: Iterable[nn.Module]) -> bool:
    """Return whether a hook or a callback, other than ours, may observe or change a step.

    Args:
        trainer: Trainer with callbacks and optimisers.
        parts: The modules that a step calls.
    """
    callbacks: list[Any] = cast(Any, trainer).callbacks
    if not all(isinstance(c, _ONLY_LOOK) or type(c).__module__[:3] == "vi." for c in callbacks):
        return True
    hooks: list[Any] = [_global_optimizer_pre_hooks, _global_optimizer_post_hooks]
    for optimizer in cast(list[Optimizer], trainer.optimizers):
        hooks += [optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks]
    for part in parts:
        hooks += [part._backward_hooks, part._backward_pre_hooks]
        hooks += [part._forward_hooks, part._forward_pre_hooks]
    return any(hooks)


def is_backward_observed(trainer: pl.Trainer) -> bool:
    """Return whether the backward pass needs Lightning: for a callback or for other processes."""
    hooks = ("on_before_backward", "on_after_backward")
    callbacks: list[Any] = cast(Any, trainer).callbacks
    watching = any(is_overridden(hook, c, pl.Callback) for c in callbacks for hook in hooks)
    return watching or trainer.world_size > 1

"""Optimiser steps on blocks of indices, replayed where possible."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vi.bounds.base import Bound
from vi.data.base import Batch
from vi.evaluation.columns import terms
from vi.evaluations import tallied
from vi.math import mix, seed_generators
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context
from vi.training.observers import is_backward_observed, is_step_observed

if TYPE_CHECKING:
    from vi.training.module import TrainingModule


class Steps:
    """The optimiser steps of a run.

    Args:
        module: The module, at the start of its training.
    """

    def __init__(self, module: "TrainingModule") -> None:
        self.module = module
        self.weight = 1.0  # weight of this process's mean, see ``Share``
        self.is_observed = is_backward_observed(module.trainer)
        optimizers = module.trainer.optimizers
        self.context = Context(module.model, module.bound, optimizers, self._backward)
        self.names: list[str] = []  # names of the variables that the model conditions on
        spent, obstacle = module.book.evaluations, self._obstacle()
        again = (self._inputs, self._take_from, optimizers, spent, obstacle)
        alone = module.processes.world == 1
        self.again = module.session.step(self._take, *again) if alone else self._take

    def __call__(self, blocks: list[Tensor]) -> int:
        """Take one step for each block.

        Returns:
            The number of steps taken: all of them, unless a limit or a signal ends the run.
        """
        module = self.module
        first, seed, device = module.trainer.global_step, module.seed, module.device
        processes, bound, signals = module.processes, module.bound, module.signals
        limited, means = module.settings.max_evaluations is not None, module.book.train_means
        with tallied(module.book.evaluations):
            for step, index in enumerate(blocks, start=first):
                seed_generators(mix(seed, step, *processes.key), device)
                bound.at_step(step)
                share = processes.share(index)
                self.weight = share.weight
                take = self.again if step >= bound.warmup_steps else self._take
                means.add(share.counting(take(share.index)))
                told = signals.received and processes.world == 1  # several agree first
                if told or limited and module.book.spent_all():
                    return step + 1 - first
        return len(blocks)

    def _take(self, index: Tensor) -> Mapping[str, Tensor]:
        """Take one step on the data at these indices."""
        return self._step(self.module.data.train.batch(index))

    def _step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Take one step of the scheme; return the terms of its bound."""
        return terms(self.module.scheme.step(self.context, batch))

    def _inputs(self, index: Tensor) -> list[Tensor]:
        """Return the tensors that change between replays of a recorded step."""
        batch = self.module.data.train.batch(index)
        self.names[:] = batch.given
        return [index, batch.x, *batch.given.values()]

    def _take_from(self, index: Tensor, x: Tensor, *given: Tensor) -> Mapping[str, Tensor]:
        """Take one step on the tensors of ``_inputs``."""
        return self._step(Batch(x, dict(zip(self.names, given, strict=True)), index))

    def _obstacle(self) -> str | None:
        """Return the reason why a step cannot be replayed, or None."""
        scheme, trainer = self.module.scheme, self.module.trainer
        parts = [*self.module.model.modules(), self.module.bound]
        obstacles = {
            f"the steps of {type(scheme).__name__} differ": not scheme.repeats,
            "a callback watches the backward pass": self.is_observed,
            "a hook or a callback of yours watches": is_step_observed(trainer, parts),
        }
        return next((obstacle for obstacle, stands in obstacles.items() if stands), None)

    def _backward(self, loss: Tensor) -> None:
        """Compute gradients, by Lightning if it is needed."""
        with self.module.session.backward():
            if self.is_observed:
                self.module.manual_backward(loss * self.weight)
            else:
                loss.backward()


@dataclass(frozen=True)
class Trial:
    """A step on copies of the parts, which can be repeated at will.

    Args:
        model: The copy of the model.
        bound: The copy of the bound.
        step: Takes the step.
    """

    model: LatentVariableModel
    bound: Bound
    step: Callable[[], object]


def trial(module: "TrainingModule", rows: int) -> Trial:
    """Return a step on copies of the parts and on the first data.

    Args:
        module: The module with the parts.
        rows: Number of data.
    """
    scheme, bound, model = copy.deepcopy((module.scheme, module.bound, module.model))
    optimizers, _ = scheme.configure(model, bound)
    train, context = module.data.train, Context(model, bound, optimizers)
    batch = train.batch(torch.arange(min(rows, len(train))))
    return Trial(model, bound, lambda: scheme.step(context, batch))

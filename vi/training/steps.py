"""Optimiser steps on blocks of indices, replayed where that is possible."""

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
    """The steps of a run.

    Args:
        module: When its training starts.
    """

    def __init__(self, module: "TrainingModule") -> None:
        self.module = module
        self.weight = 1.0  # of the mean of this process among those of all
        self.is_observed = is_backward_observed(module.trainer)
        optimizers = module.trainer.optimizers
        self.context = Context(module.model, module.bound, optimizers, self._backward)
        self.names: list[str] = []  # of what the model conditions on
        spent, obstacle = module.book.evaluations, self._obstacle()
        again = (self._inputs, self._take_from, optimizers, spent, obstacle)
        alone = module.processes.world == 1
        self.again = module.session.step(self._take, *again) if alone else self._take

    def __call__(self, blocks: list[Tensor]) -> int:
        """Take them, one for each block.

        Returns:
            How many were taken: all, if they may be.
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
        return self._step(self.module.data.train.batch(index))

    def _step(self, batch: Batch) -> Mapping[str, Tensor]:
        return terms(self.module.scheme.step(self.context, batch))

    def _inputs(self, index: Tensor) -> list[Tensor]:
        """What a recorded step is told anew, as tensors."""
        batch = self.module.data.train.batch(index)
        self.names[:] = batch.given
        return [index, batch.x, *batch.given.values()]

    def _take_from(self, index: Tensor, x: Tensor, *given: Tensor) -> Mapping[str, Tensor]:
        return self._step(Batch(x, dict(zip(self.names, given, strict=True)), index))

    def _obstacle(self) -> str | None:
        """What speaks against replaying a step."""
        scheme, trainer = self.module.scheme, self.module.trainer
        parts = [*self.module.model.modules(), self.module.bound]
        obstacles = {
            f"the steps of {type(scheme).__name__} differ": not scheme.repeats,
            "a callback watches the backward pass": self.is_observed,
            "a hook or a callback of yours watches": is_step_observed(trainer, parts),
        }
        return next((obstacle for obstacle, stands in obstacles.items() if stands), None)

    def _backward(self, loss: Tensor) -> None:
        with self.module.session.backward():
            if self.is_observed:
                self.module.manual_backward(loss * self.weight)
            else:
                loss.backward()


@dataclass(frozen=True)
class Trial:
    """A step that can be taken as often as one likes, on copies of the parts."""

    model: LatentVariableModel
    bound: Bound
    step: Callable[[], object]


def trial(module: "TrainingModule", rows: int) -> Trial:
    """A step on copies, and on the first data."""
    scheme, bound, model = copy.deepcopy((module.scheme, module.bound, module.model))
    optimizers, _ = scheme.configure(model, bound)
    train, context = module.data.train, Context(model, bound, optimizers)
    batch = train.batch(torch.arange(min(rows, len(train))))
    return Trial(model, bound, lambda: scheme.step(context, batch))

"""Optimiser steps that are recorded once and replayed, by any recorder."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Integer
from torch import Tensor
from torch.optim import Optimizer

from vi.evaluations import Evaluations

Columns = Mapping[str, Float[Tensor, " B"]]
Take = Callable[[Integer[Tensor, " B"]], Columns]
Work = Callable[..., list[Tensor]]
Replay = Callable[[Sequence[Tensor]], Sequence[Tensor]]

_NO_RATES = ("params", "capturable")


@runtime_checkable
class Recorder(Protocol):
    """Records the work of a function on a device.

    An implementer writes ``patience``, ``warm`` and ``record``.
    """

    patience: int
    """Number of steps of a size, at constant learning rates, before one is recorded."""

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """Do the work without recording, in the way that a later recording requires."""
        ...

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Replay:
        """Return a function that does the work and returns its results; nothing is done yet.

        Args:
            work: A function from these inputs, which it does not change, to results of one size.
            inputs: Tensors; a replay takes others of the same sizes.

        Raises:
            RuntimeError: The work waits for the device, or depends on values that it computes.
        """
        ...


@dataclass
class _Recording:
    """A recorded step: the names of its columns, its replay, and its cost."""

    names: tuple[str, ...]
    replay: Replay  # returns their columns
    evaluations: Evaluations  # the rows of one step


class ReplayedSteps:
    """Takes steps by replaying a recorded step.

    A recording is valid for one batch size and for the learning rates at its time. If a step
    cannot be recorded, a single warning is issued and every step is computed as usual.

    Args:
        inputs: Turns a block of indices into tensors; not recorded.
        take: Takes one optimiser step from these inputs and returns its terms.
        optimizers: The optimisers that step in it.
        evaluations: The counts to which each step adds its rows.
        recorder: The recorder of the device.
    """

    def __init__(
        self,
        inputs: Callable[[Tensor], Sequence[Tensor]],
        take: Callable[..., Columns],
        optimizers: Sequence[Optimizer],
        evaluations: Evaluations,
        recorder: Recorder,
    ) -> None:
        self.inputs = inputs
        self.take = take
        self.optimizers = optimizers
        self.evaluations = evaluations
        self.recorder = recorder
        self.recordings: dict[int, _Recording] = {}
        self.taken: Counter[int] = Counter()
        self.rates = self._rates()
        self.works = True

    def __call__(self, index: Integer[Tensor, " B"]) -> Columns:
        """Take one step on the data at ``index`` (B,) and return its terms."""
        self._forget_other_rates()
        size, inputs = len(index), self.inputs(index)
        patience = self.recorder.patience
        if self.works and size not in self.recordings and self.taken[size] >= patience:
            self._record(size, inputs)
        if size not in self.recordings:
            self.taken[size] += 1
            work = partial(self.take, *inputs)
            return self.recorder.warm(work) if self.works else work()
        recording = self.recordings[size]
        columns = recording.replay(inputs)
        self.evaluations.encoder += recording.evaluations.encoder
        self.evaluations.decoder += recording.evaluations.decoder
        return dict(zip(recording.names, columns, strict=True))

    def _record(self, size: int, inputs: Sequence[Tensor]) -> None:
        """Record a step for a batch size; if that fails, warn and stop trying."""
        before, names, spent = replace(self.evaluations), dict[str, None](), Evaluations()

        def work(*inputs: Tensor) -> list[Tensor]:
            start = replace(self.evaluations)
            columns = self.take(*inputs)
            names.update(dict.fromkeys(columns))
            spent.encoder = self.evaluations.encoder - start.encoder
            spent.decoder = self.evaluations.decoder - start.decoder
            return [column.detach() for column in columns.values()]

        for optimizer in self.optimizers:
            optimizer.zero_grad()  # so that gradients are made in the memory of the graph
        try:
            replay = self.recorder.record(work, inputs)
        except (RuntimeError, AssertionError) as error:
            self.works = False
            warnings.warn(
                f"steps are not replayed: {str(error).splitlines()[0]} "
                "(trainer.replay=false avoids this warning)",
                stacklevel=2,
            )
            return
        finally:
            vars(self.evaluations).update(vars(before))
        self.recordings[size] = _Recording(tuple(names), replay, spent)

    def _forget_other_rates(self) -> None:
        """Discard all recordings if a number of an optimiser has changed."""
        rates = self._rates()
        if rates != self.rates:
            self.rates = rates
            self.recordings.clear()
            self.taken.clear()

    def _rates(self) -> list[tuple[Any, ...]]:
        """Return all numbers of the optimisers, and which parameters they update."""
        groups = [group for o in self.optimizers for group in o.param_groups]
        rates = [tuple(v for k, v in g.items() if k not in _NO_RATES) for g in groups]
        return [*rates, *[tuple(p.requires_grad for p in g["params"]) for g in groups]]

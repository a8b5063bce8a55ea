"""An optimiser step recorded as a CUDA graph and replayed: one launch in place of hundreds."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.optim import Optimizer

from vi.diagnostics.evaluations import Evaluations

Columns = Mapping[str, Float[Tensor, " B"]]
Take = Callable[[Integer[Tensor, " B"]], Columns]

_WARM_UP = 3  # steps of a size before it is recorded, in which libraries choose their algorithms


@runtime_checkable
class Recorder(Protocol):
    """How the work of a function on the device is written down."""

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """Do the work, as it has to be done before it is recorded."""
        ...

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """The place of the result, and what does the work again; nothing is done yet.

        Raises:
            RuntimeError: The work waits for the device, or depends on what it computes.
        """
        ...


class CudaGraphs:
    """Records on the current CUDA device.

    Draws are new in every replay, and those that the same seed would have given without a graph:
    a graph reads the state of torch's default generator when it is replayed.
    """

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """On a stream of its own, so that nothing is left waiting on the default one."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            columns = work()
        current.wait_stream(stream)
        return columns

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """See ``Recorder``."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = work()
        return result, graph.replay


@dataclass
class _Recording:
    index: Tensor  # where the next block of indices is put
    names: tuple[str, ...]
    columns: Tensor  # (names, B)
    replay: Callable[[], None]
    evaluations: Evaluations  # of one step


class ReplayedSteps:
    """Takes steps as ``take`` does, by replaying a recording of it.

    A recording holds for one batch size and for the learning rates of its time. What cannot be
    recorded is said once and taken step by step.

    Args:
        take: One optimiser step on a block of indices; returns its terms.
        optimizers: Those that it steps.
        evaluations: The account that it adds to.
        recorder: Of the device.
    """

    def __init__(
        self,
        take: Take,
        optimizers: Sequence[Optimizer],
        evaluations: Evaluations,
        recorder: Recorder,
    ) -> None:
        self.take = take
        self.optimizers = optimizers
        self.evaluations = evaluations
        self.recorder = recorder
        self.recordings: dict[int, _Recording] = {}
        self.taken: Counter[int] = Counter()
        self.rates = self._rates()
        self.works = True

    def __call__(self, index: Integer[Tensor, " B"]) -> Columns:
        """One step."""
        self._forget_other_rates()
        size = len(index)
        if self.works and size not in self.recordings and self.taken[size] >= _WARM_UP:
            self._record(index)
        if size not in self.recordings:
            self.taken[size] += 1
            return self.recorder.warm(lambda: self.take(index)) if self.works else self.take(index)
        recording = self.recordings[size]
        recording.index.copy_(index)
        recording.replay()
        self.evaluations.encoder += recording.evaluations.encoder
        self.evaluations.decoder += recording.evaluations.decoder
        return dict(zip(recording.names, recording.columns.clone(), strict=True))

    def _record(self, index: Tensor) -> None:
        place, before = index.clone(), replace(self.evaluations)
        names: list[str] = []

        def work() -> Tensor:
            columns = self.take(place)
            names.extend(columns)
            return torch.stack([column.detach() for column in columns.values()])

        for optimizer in self.optimizers:
            optimizer.zero_grad()  # so that gradients are made in the memory of the graph
        try:
            with _capturable(self.optimizers):
                columns, replay = self.recorder.record(work)
        except (RuntimeError, AssertionError) as error:
            self.works = False
            warnings.warn(
                f"steps are not replayed as a CUDA graph: {str(error).splitlines()[0]} "
                "(trainer.cuda_graph=false says so beforehand)",
                stacklevel=2,
            )
            return
        finally:
            after = replace(self.evaluations)
            vars(self.evaluations).update(vars(before))
        spent = Evaluations(after.encoder - before.encoder, after.decoder - before.decoder)
        self.recordings[len(index)] = _Recording(place, tuple(names), columns, replay, spent)

    def _forget_other_rates(self) -> None:
        rates = self._rates()
        if rates != self.rates:
            self.rates = rates
            self.recordings.clear()

    def _rates(self) -> list[float]:
        return [group["lr"] for o in self.optimizers for group in o.param_groups]


@contextmanager
def _capturable(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Within this block Adam allows itself to be recorded; outside it would complain."""
    groups = [g for o in optimizers for g in o.param_groups if "capturable" in g]
    before = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value

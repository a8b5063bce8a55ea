"""An optimiser step as a CUDA graph."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from vi.fast.replay.replay import Columns, Replay, Work


class CudaGraphs:
    """Records on the current CUDA device.

    Draws are new in every replay, and those that the same seed would have given without a graph:
    a graph reads the state of torch's default generator when it is replayed.

    Args:
        optimizers: Those that step in it.
    """

    patience = 3  # in which libraries choose their algorithms

    def __init__(self, optimizers: Sequence[Optimizer] = ()) -> None:
        self.optimizers = optimizers

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """On a stream of its own, so that nothing is left waiting on the default one."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            columns = work()
        current.wait_stream(stream)
        return columns

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Replay:
        """See ``Recorder``."""
        graph, places = torch.cuda.CUDAGraph(), [x.clone() for x in inputs]
        with _capturable(self.optimizers), torch.cuda.graph(graph):
            results = torch.stack(work(*places))

        def replay(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
            for place, x in zip(places, inputs, strict=True):
                place.copy_(x)
            graph.replay()
            return results.clone().unbind()

        return replay


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

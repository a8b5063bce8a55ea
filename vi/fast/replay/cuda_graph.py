"""Record an optimiser step as a CUDA graph."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from vi.fast.replay.replay import Columns, Replay, Work


class CudaGraphs:
    """Records steps on the current CUDA device.

    Every replay makes new random draws, the same as without a graph for the same seed: a graph
    reads the state of torch's default generator when it is replayed.

    Args:
        optimizers: The optimisers that step in it.
    """

    patience = 3  # steps in which libraries choose their algorithms

    def __init__(self, optimizers: Sequence[Optimizer] = ()) -> None:
        self.optimizers = optimizers

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """Do the work on a separate stream, so that no work is pending on the default stream."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            columns = work()
        current.wait_stream(stream)
        return columns

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Replay:
        """Capture the work in a graph.

        Args:
            work: A function from the inputs to results of one size.
            inputs: Tensors; a replay copies others of the same sizes into their place.

        Raises:
            RuntimeError: The work waits for the device.
        """
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
    """Set ``capturable``, which Adam needs under capture and warns about elsewhere."""
    groups = [g for o in optimizers for g in o.param_groups if "capturable" in g]
    before = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value

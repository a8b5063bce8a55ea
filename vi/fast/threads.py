"""How many threads of the processor compute, and who looks for a GPU meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Parameters times batch size below which one thread is at least as fast as several: they would
# spend the step waiting for each other, and on a shared machine very long.
_SMALL_STEP = 10_000_000
_LOOK_FOR_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
_OPENMP = "OMP_NUM_THREADS"


@contextmanager
def gpu_known(device: torch.device) -> Iterator[None]:
    """Within this block nobody looks for the driver of a GPU that is not there.

    Lightning has torch load the driver's library whenever it asks for a GPU, which Adam does in
    every step: 40 microseconds.
    """
    before = os.environ.get(_LOOK_FOR_DRIVER)
    if before is not None and device.type == "cpu" and not torch.cuda.is_available():
        del os.environ[_LOOK_FOR_DRIVER]
    try:
        yield
    finally:
        if before is not None:
            os.environ[_LOOK_FOR_DRIVER] = before


@contextmanager
def threads(
    number: int | None, model: nn.Module, batch_size: int, devices: int = 1
) -> Iterator[int]:
    """Within this block torch computes with so many threads, in each process.

    None is one thread for a small step, else torch's own choice, or its share of the processor: a
    function of the sizes alone, so that a run computes the same bits again.
    """
    before = torch.get_num_threads()
    if number is None:
        parameters = sum(p.numel() for p in model.parameters())
        ours = before if devices == 1 else min(before, (os.cpu_count() or 1) // devices)
        number = 1 if parameters * batch_size < _SMALL_STEP * devices else max(1, ours)
    told = devices > 1 and _OPENMP not in os.environ  # else Lightning has its own opinion
    if told:
        os.environ[_OPENMP] = str(number)
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)
        if told:
            os.environ.pop(_OPENMP, None)

"""The number of processor threads, and the search for a GPU driver during training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Parameters times batch size below which one thread is at least as fast as several, which would
# spend the step waiting for each other, especially on a shared machine.
_SMALL_STEP = 10_000_000
_LOOK_FOR_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
_OPENMP = "OMP_NUM_THREADS"


@contextmanager
def gpu_known(device: torch.device) -> Iterator[None]:
    """Prevent repeated searches for the driver of an absent GPU inside the ``with`` block.

    Lightning makes torch load the driver's library at every query for a GPU, and Adam queries in
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
    """Compute with this number of threads in each process inside the ``with`` block.

    Args:
        number: Number of threads. None takes one thread for a small step, otherwise torch's own
            choice, at most an equal share of the processor. It depends on the sizes only, so that
            a repeated run computes the same bits.
        model: Its number of parameters decides what a small step is.
        batch_size: Data per step.
        devices: Number of processes.

    Yields:
        The number of threads.

    >>> with threads(None, nn.Linear(2, 3), batch_size=8) as number:
    ...     number
    1
    """
    before = torch.get_num_threads()
    if number is None:
        parameters = sum(p.numel() for p in model.parameters())
        ours = before if devices == 1 else min(before, (os.cpu_count() or 1) // devices)
        number = 1 if parameters * batch_size < _SMALL_STEP * devices else max(1, ours)
    told = devices > 1 and _OPENMP not in os.environ  # otherwise Lightning sets the variable
    if told:
        os.environ[_OPENMP] = str(number)
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)
        if told:
            os.environ.pop(_OPENMP, None)

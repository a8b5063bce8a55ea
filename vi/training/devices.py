"""Where a run computes: the device, and how many threads of the processor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from vi.errors import ConfigurationError

DeviceName = Literal["auto", "cpu", "gpu"]
# Parameters times batch size below which one thread is at least as fast as several: they would
# spend the step waiting for each other, and on a shared machine very long.
_SMALL_STEP = 10_000_000


def chosen_device(name: DeviceName) -> torch.device:
    """The device that a word stands for; auto is the GPU if there is one.

    Raises:
        ConfigurationError: A GPU was asked for, and torch sees none.
    """
    if name == "gpu" and not torch.cuda.is_available():
        raise ConfigurationError(
            "device=gpu, but torch sees no CUDA device", hint="choose device=auto or device=cpu"
        )
    on_gpu = name == "gpu" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if on_gpu else "cpu")


@contextmanager
def threads(number: int | None, model: nn.Module, batch_size: int) -> Iterator[int]:
    """Within this block torch computes with so many threads.

    None is one thread for a small step, else torch's own choice: a function of the sizes alone, so
    that a run computes the same bits again.
    """
    before = torch.get_num_threads()
    if number is None:
        parameters = sum(p.numel() for p in model.parameters())
        number = 1 if parameters * batch_size < _SMALL_STEP else before
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)

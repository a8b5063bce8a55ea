"""Networks translated into kernels of their own by torch.compile."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel
from vi.training.precision import networks

Compile = Literal["off", "on", "auto"]


@contextmanager
def compiled(choice: Compile, model: LatentVariableModel, device: torch.device) -> Iterator[None]:
    """Within this block the networks of a model are compiled, each by itself.

    auto compiles on a GPU. On the processor that gains a few per cent after 15 to 20 seconds, so
    it has to be asked for.

    Raises:
        ConfigurationError: There is no C++ compiler, which the processor's kernels need.
    """
    if choice == "off" or (choice == "auto" and device.type == "cpu"):
        yield
        return
    if device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ConfigurationError(
            "trainer.compile=on needs a C++ compiler, and there is none",
            hint="install g++, name one in CXX, or choose trainer.compile=off",
        )
    found = list(networks(model))
    for network in found:
        network.compile()
    try:
        yield
    finally:
        for network in found:
            network._compiled_call_impl = None

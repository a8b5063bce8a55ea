"""Networks translated into kernels of their own by torch.compile."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel


@contextmanager
def compiled(choice: str, model: LatentVariableModel, device: torch.device) -> Iterator[None]:
    """Within this block the networks of a model are compiled, each by itself.

    auto compiles on a GPU, where it can. On the processor it gains a few per cent after some
    seconds of translation, so it has to be asked for.

    Raises:
        ConfigurationError: A compiler is missing that was asked for.
    """
    missing = _missing(device)
    if choice == "on" and missing:
        raise ConfigurationError(
            f"trainer.compile=on needs {missing}, and there is none",
            hint=f"install {missing}, or choose trainer.compile=off",
        )
    if choice == "off" or (choice == "auto" and (missing or device.type == "cpu")):
        yield
        return
    found = list(model.networks())
    for network in found:
        network.compile()
    try:
        yield
    finally:
        for network in found:
            network._compiled_call_impl = None


def _missing(device: torch.device) -> str | None:
    """What torch.compile needs beside torch and does not find."""
    if device.type == "cpu":
        return None if shutil.which(os.environ.get("CXX", "g++")) else "a C++ compiler (g++)"
    if find_spec("triton") is None:
        return "triton"
    return None if shutil.which(os.environ.get("CC", "gcc")) else "a C compiler (gcc)"

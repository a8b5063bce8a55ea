"""Networks compiled by ``torch.compile``."""

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
    """Compile each network of a model separately inside the ``with`` block.

    ``auto`` compiles on a GPU if the compilers are installed. On a processor compilation gains
    only a few per cent after several seconds of translation, so there it must be requested with
    ``on``.

    Args:
        choice: "auto", "on" or "off", from ``trainer.compile``.
        model: The model whose networks are compiled.
        device: Where the model will compute.

    Raises:
        ConfigurationError: ``on`` is set and a compiler is missing.
    """
    missing = _missing(device)
    if choice == "on" and missing:
        raise ConfigurationError(
            f"trainer.compile=on needs {missing}, which is not installed",
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
    """Return the compiler that torch.compile needs and that is not installed, or None."""
    if device.type == "cpu":
        return None if shutil.which(os.environ.get("CXX", "g++")) else "a C++ compiler (g++)"
    if find_spec("triton") is None:
        return "triton"
    return None if shutil.which(os.environ.get("CC", "gcc")) else "a C compiler (gcc)"

"""Choice of the device of a run."""

from typing import Literal

import torch

from vi.errors import ConfigurationError

DeviceName = Literal["auto", "cpu", "gpu"]


def chosen_device(name: DeviceName, devices: int = 1) -> torch.device:
    """Return the device of this name; auto is the GPU if there is one.

    Args:
        name: auto, cpu or gpu.
        devices: Number of devices.

    Raises:
        ConfigurationError: The run needs more GPUs than torch finds.
    """
    if name == "gpu" and not torch.cuda.is_available():
        raise ConfigurationError(
            "device=gpu, but torch sees no CUDA device", hint="choose device=auto or device=cpu"
        )
    on_gpu = name == "gpu" or (name == "auto" and torch.cuda.is_available())
    if on_gpu and devices > torch.cuda.device_count():
        raise ConfigurationError(
            f"devices={devices}, but torch sees {torch.cuda.device_count()} CUDA devices",
            hint=f"trainer.devices={torch.cuda.device_count()} or trainer.device=cpu",
        )
    return torch.device("cuda" if on_gpu else "cpu")

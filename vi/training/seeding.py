"""The random state of the CPU and of one accelerator, from one seed."""

import torch


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's default generators for the CPU and for this device, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)

"""What decides the last bits of a run beside its options, kept in checkpoints and followed."""

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from vi.fast import linear as products
from vi.fast import plans
from vi.fast.machine import machine
from vi.training.settings import TrainerSettings


class Arithmetic:
    """How a run computes: kernels, threads, and on what.

    Args:
        settings: Of the run.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        self.settings = settings
        self.is_bit_equal = True

    def state_dict(self, device: torch.device, world: int = 1) -> dict[str, Any]:
        """Plain values; beside them a checkpoint keeps ``threads`` and ``products``."""
        return {**_surroundings(device, world), "bit_equal": self.is_bit_equal}

    def follow(
        self, checkpoint: Mapping[str, Any], device: torch.device, world: int = 1, rank: int = 0
    ) -> None:
        """Compute as the run did that a checkpoint is of; where that cannot be, say so once.

        Its plans of products, its threads, unless others were asked for, and its way of rounding.
        """
        told = checkpoint.get("arithmetic")
        saved = {**(told if isinstance(told, dict) else {}), "threads": checkpoint.get("threads")}
        if self.settings.threads is None and saved["threads"] is not None:
            torch.set_num_threads(min(saved["threads"], os.cpu_count() or 1))
        chosen = plans_of(checkpoint)
        for plans_ in (*chosen, *chosen[rank : rank + 1]):  # its own win
            plans.adopt(plans_)
        by_onednn = saved.get("rounded_by") == "onednn"
        products.round_by_onednn(by_onednn and products.can_be_asked_to_round())
        now = {**_surroundings(device, world), "threads": torch.get_num_threads()}
        others = [f"{k} {saved[k]}, now {now[k]}" for k in now if saved.get(k, now[k]) != now[k]]
        if "machine" not in saved:
            others.append("a processor that its checkpoint does not name")
        by_onednn = any(any(plan) for plans_ in chosen for plan in plans_.values())
        if by_onednn and not products.is_choosing(self.settings.products):
            others.append("products of oneDNN, now torch's")
        self.is_bit_equal = bool(saved.get("bit_equal", True)) and not others
        if others:
            warnings.warn(
                "the run goes on, but not to the last bit as it would have: it had "
                + "; ".join(others),
                stacklevel=2,
            )

    def facts(self) -> dict[str, Any]:
        """What was chosen, and a mark where a run is not, to the bit, the one that it resumes."""
        chosen = {f"products/{size}": ways for size, ways in plans.described().items()}
        return chosen | ({} if self.is_bit_equal else {"resume/bit_equal": False})


def plans_of(checkpoint: Mapping[str, Any]) -> list[Any]:
    """The plans of products of every process, by rank; older versions kept those of the first."""
    kept = checkpoint.get("products", [])
    return kept if isinstance(kept, list) else [kept]


def _surroundings(device: torch.device, world: int) -> dict[str, Any]:
    on_gpu = device.type == "cuda"
    return {
        "machine": torch.cuda.get_device_name(device) if on_gpu else machine(),
        "devices": world,
        "rounded_by": "onednn" if products.is_rounding_by_onednn() else "torch",
    }

"""What decides the last bits of a run beside its options, kept in checkpoints and followed."""

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from vi.fast.linear import Kernels, can_be_asked_to_round
from vi.fast.machine import machine


class Arithmetic:
    """How a run computes: kernels, threads, and on what.

    Args:
        kernels: Of its linear layers.
        threads: That were asked for; None leaves them to the run.
    """

    def __init__(self, kernels: Kernels, threads: int | None) -> None:
        self.kernels = kernels
        self.threads = threads
        self.is_bit_equal = True

    def state_dict(self, device: torch.device, world: int = 1) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "threads": torch.get_num_threads(),
            "products": self.kernels.plans.state_dict(),
            "arithmetic": {**self._surroundings(device, world), "bit_equal": self.is_bit_equal},
        }

    def follow(
        self, checkpoint: Mapping[str, Any], device: torch.device, world: int = 1, rank: int = 0
    ) -> None:
        """Compute as the run did that a checkpoint is of; where that cannot be, say so once.

        Its plans of products, its threads, unless others were asked for, and its way of rounding.
        """
        told = checkpoint.get("arithmetic")
        saved = {**(told if isinstance(told, dict) else {}), "threads": checkpoint.get("threads")}
        if self.threads is None and saved["threads"] is not None:
            torch.set_num_threads(min(saved["threads"], os.cpu_count() or 1))
        chosen = plans_of(checkpoint)
        for plans in (*chosen, *chosen[rank : rank + 1]):  # its own win
            self.kernels.plans.adopt(plans)
        by_onednn = saved.get("rounded_by") == "onednn"
        self.kernels.round_by_onednn = by_onednn and can_be_asked_to_round()
        now = {**self._surroundings(device, world), "threads": torch.get_num_threads()}
        others = [f"{k} {saved[k]}, now {now[k]}" for k in now if saved.get(k, now[k]) != now[k]]
        if "machine" not in saved:
            others.append("a processor that its checkpoint does not name")
        by_onednn = any(any(plan) for plans in chosen for plan in plans.values())
        if by_onednn and not self.kernels.choosing:
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
        described = self.kernels.plans.described()
        chosen = {f"products/{size}": ways for size, ways in described.items()}
        return chosen | ({} if self.is_bit_equal else {"resume/bit_equal": False})

    def _surroundings(self, device: torch.device, world: int) -> dict[str, Any]:
        on_gpu = device.type == "cuda"
        return {
            "machine": torch.cuda.get_device_name(device) if on_gpu else machine(),
            "devices": world,
            "rounded_by": "onednn" if self.kernels.round_by_onednn else "torch",
        }


def plans_of(checkpoint: Mapping[str, Any]) -> list[Any]:
    """The plans of products of every process, by rank; older versions kept those of the first."""
    kept = checkpoint.get("products", [])
    return kept if isinstance(kept, list) else [kept]

"""Bit-reproducibility of resumed runs: what decides the last bits of a run beside its options.

The options and the seed of a run do not fix its results to the last bit. The processor, the
number of threads, the kernels chosen for the linear layers and the way of rounding to bf16 matter
as well. Checkpoints store them, and a resumed run uses the stored values where it can.
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from vi.fast.linear import Kernels, can_be_asked_to_round
from vi.fast.machine import machine


class Arithmetic:
    """The kernels, the threads and the processor with which a run computes.

    Args:
        kernels: The kernels of its linear layers.
        threads: Number of threads that the user set; None if the run chooses it.
    """

    def __init__(self, kernels: Kernels, threads: int | None) -> None:
        self.kernels = kernels
        self.threads = threads
        self.is_bit_equal = True

    def state_dict(self, device: torch.device, world: int = 1) -> dict[str, Any]:
        """Return plain values for a checkpoint.

        Args:
            device: The device of the run.
            world: Number of processes.
        """
        return {
            "threads": torch.get_num_threads(),
            "products": self.kernels.plans.state_dict(),
            "arithmetic": {**self._surroundings(device, world), "bit_equal": self.is_bit_equal},
        }

    def follow(
        self, checkpoint: Mapping[str, Any], device: torch.device, world: int = 1, rank: int = 0
    ) -> None:
        """Compute as the run did that wrote a checkpoint; warn once if that is not possible.

        The plans of the linear layers, the number of threads (unless the user set another) and the
        way of rounding are taken from the checkpoint.

        Args:
            checkpoint: The checkpoint of the run.
            device: The device of this run.
            world: Number of processes of this run.
            rank: Number of this process; its own plans take precedence over those of the others.
        """
        told = checkpoint.get("arithmetic")
        saved = {**(told if isinstance(told, dict) else {}), "threads": checkpoint.get("threads")}
        if self.threads is None and saved["threads"] is not None:
            torch.set_num_threads(min(saved["threads"], os.cpu_count() or 1))
        chosen = plans_of(checkpoint)
        for plans in (*chosen, *chosen[rank : rank + 1]):  # those of this rank last: they win
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
                "the resumed run is not bit-identical to an uninterrupted one, which had "
                + "; ".join(others),
                stacklevel=2,
            )

    def facts(self) -> dict[str, Any]:
        """Return the chosen kernels, and a mark if a resumed run is not bit-identical."""
        described = self.kernels.plans.described()
        chosen = {f"products/{size}": ways for size, ways in described.items()}
        return chosen | ({} if self.is_bit_equal else {"resume/bit_equal": False})

    def _surroundings(self, device: torch.device, world: int) -> dict[str, Any]:
        """Return the processor or GPU, the number of processes, and what rounds to bf16."""
        on_gpu = device.type == "cuda"
        return {
            "machine": torch.cuda.get_device_name(device) if on_gpu else machine(),
            "devices": world,
            "rounded_by": "onednn" if self.kernels.round_by_onednn else "torch",
        }


def plans_of(checkpoint: Mapping[str, Any]) -> list[Any]:
    """Return the plans of linear products of every process, by rank.

    Older versions stored those of the first process only.
    """
    kept = checkpoint.get("products", [])
    return kept if isinstance(kept, list) else [kept]

"""Resident data in index blocks against a DataLoader."""

import torch
from _timing import interleaved, table
from sections import _vi
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from vi.data.base import DynamicBits, Split, Values
from vi.training.batching import IndexBlocks
from vi.training.settings import TrainerSettings

_BATCH, _DIM = 128, 784


def section(*, quick: bool) -> str:
    """A table."""
    n = 2_000 if quick else 60_000
    grey = _vi.pictures(n, _DIM)
    floats = grey.float() / 255
    loader = DataLoader(TensorDataset(floats), batch_size=_BATCH, shuffle=True)
    kinds = {
        "grey levels": (Values(grey, levels=255), lambda x: x),
        "fresh bits": (DynamicBits(grey), torch.bernoulli),
    }
    rows = []
    for name, (split, transform) in kinds.items():
        times = interleaved(
            lambda split=split: _epoch(split),
            lambda transform=transform: [transform(x) for (x,) in loader],
            turns=3,
        )
        a, b = (1e6 * t / len(loader) for t in times)
        rows.append(f"{name} | {a:.0f} | {b:.0f} | {b / a:.1f}")
    note = f"Microseconds per batch of {_BATCH} from {n} pictures of {_DIM} pixels, a whole epoch."
    return table("Data loading", "batch of | vi | DataLoader(TensorDataset) | ratio", rows, note)


def _epoch(split: Split) -> list[Tensor]:
    settings = TrainerSettings(batch_size=_BATCH)
    cut = {"steps_per_call": lambda: 50, "periods": [50]}
    blocks = IndexBlocks(len(split), settings, 0, lambda: 0, torch.device("cpu"), **cut)
    return [split.batch(index).x for block in blocks for index in block]

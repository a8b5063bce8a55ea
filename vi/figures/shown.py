"""Choice of the data that pictures show, and a context in which the model is not changed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vi.data.base import Batch, Split
from vi.math import seed_generators
from vi.models.base import LatentVariableModel

POINTS = 1000  # most points of a scatter plot


@contextmanager
def undisturbed(model: LatentVariableModel, seed: int) -> Iterator[None]:
    """Use evaluation mode, no gradients and the noise of a seed inside the ``with`` block.

    Afterwards the modes of all modules and the random states are restored.
    """
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_generators(seed, device)
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def spread_batch(split: Split, n: int) -> Batch:
    """Return a batch of n data, spread evenly over the split, with repeats if it is smaller."""
    return split.batch(split.spread(n))


def spread_contexts(split: Split, n: int) -> dict[str, Tensor]:
    """Return the conditions of n samples, from data spread evenly over the sorted contexts."""
    if "context" not in split.given:
        return {k: v[torch.arange(n) % len(split)] for k, v in split.given.items()}
    order = split.given["context"].argmax(-1).argsort(stable=True)
    spread = order[torch.arange(n, device=order.device) * len(split) // n]
    return {k: v[spread] for k, v in split.given.items()}

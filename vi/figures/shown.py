"""Which data are shown, and a model that showing leaves as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vi.data.base import Batch, Split
from vi.math import seed_generators
from vi.models.base import LatentVariableModel

POINTS = 1000  # of a scatter plot


@contextmanager
def undisturbed(model: LatentVariableModel, seed: int) -> Iterator[None]:
    """Evaluation mode and the noise of the seed; afterwards both are as they were."""
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
    """n data, spread evenly; some again where there are fewer."""
    return split.batch(split.spread(n))


def spread_contexts(split: Split, n: int) -> dict[str, Tensor]:
    """What n samples are given: that of data spread evenly over the contexts, in order."""
    if "context" not in split.given:
        return {k: v[torch.arange(n) % len(split)] for k, v in split.given.items()}
    order = split.given["context"].argmax(-1).argsort(stable=True)
    spread = order[torch.arange(n, device=order.device) * len(split) // n]
    return {k: v[spread] for k, v in split.given.items()}

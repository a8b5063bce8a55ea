"""Which item is in which split: permutations and parts that are the same on every machine."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.errors import ConfigurationError, DataError


def generator(seed: int, *keys: int) -> torch.Generator:
    """A CPU generator for one purpose: its state is a hash of (seed, *keys).

    Args:
        seed: Any integer.
        keys: What the random numbers are for, for example the number of a split.

    >>> generator(0, 1).initial_seed() != generator(1, 0).initial_seed()
    True
    """
    entropy = [k % 2**64 for k in (seed, *keys)]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def permutation(n: int, seed: int) -> Int64[Tensor, " n"]:
    """A fixed permutation of n items.

    numpy's RandomState, because its stream is frozen: the split of a data set must not change
    with a library's version.

    >>> permutation(5, seed=0)
    tensor([2, 0, 1, 3, 4])
    """
    return torch.from_numpy(np.random.RandomState(seed % 2**32).permutation(n).astype(np.int64))


def held_out(n: int, fraction: float) -> int:
    """How many of n items are held out: the nearest number, at least one unless none are wanted.

    >>> held_out(272, 0.1), held_out(3, 0.1), held_out(3, 0.0)
    (27, 1, 0)
    """
    return max(1, round(n * fraction)) if fraction > 0 else 0


def require_fractions(validation: float, test: float) -> None:
    """Refuse fractions that leave nothing to train on.

    Raises:
        ConfigurationError: One is negative, or they sum to 1 or more.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ConfigurationError(
            "data.validation_fraction and data.test_fraction must be >= 0 with a sum below 1; "
            f"got {validation} and {test}",
            hint="0.1 and 0.1 are the defaults",
        )


def require_size(name: str, value: int, available: int) -> None:
    """Refuse a number of held-out items that is negative or leaves nothing to train on.

    Raises:
        ConfigurationError: ``value`` is not in 0 .. available - 1.
    """
    if not 0 <= value < available:
        raise ConfigurationError(
            f"data.{name} must be in 0 .. {available - 1}, got {value}",
            hint="0 means: train on all of them",
        )


def require_items(n: int, needed: int, where: object) -> None:
    """Refuse a data set that is too small to be split.

    Raises:
        DataError: There are fewer than ``needed`` items.
    """
    if n < needed:
        raise DataError(
            f"{where} holds {n} items, at least {needed} are needed",
            hint="add data, or set data.validation_fraction=0 data.test_fraction=0",
        )

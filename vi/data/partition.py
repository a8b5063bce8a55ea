"""The assignment of items to splits: permutations and sizes that are equal on every machine."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.errors import ConfigurationError, DataError


def generator(seed: int, *keys: int) -> torch.Generator:
    """Return a CPU generator for one purpose, seeded by a hash of (seed, *keys).

    Independent streams for training, validation and test data keep a split unchanged when the size
    of another one changes.

    Args:
        seed: Any integer.
        keys: Integers that identify the purpose, for example the number of a split.

    >>> generator(0, 1).initial_seed() != generator(1, 0).initial_seed()
    True
    """
    entropy = [k % 2**64 for k in (seed, *keys)]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def permutation(n: int, seed: int) -> Int64[Tensor, " n"]:
    """Return a fixed permutation of n items.

    It is drawn from numpy's RandomState, whose stream is frozen: the split of a data set must not
    change with the version of a library.

    >>> permutation(5, seed=0)
    tensor([2, 0, 1, 3, 4])
    """
    return torch.from_numpy(np.random.RandomState(seed % 2**32).permutation(n).astype(np.int64))


def held_out(n: int, fraction: float) -> int:
    """Return how many of n items to hold out: n fraction, rounded; at least 1 if fraction > 0.

    >>> held_out(272, 0.1), held_out(3, 0.1), held_out(3, 0.0)
    (27, 1, 0)
    """
    return max(1, round(n * fraction)) if fraction > 0 else 0


def require_fractions(validation: float, test: float) -> None:
    """Refuse fractions that leave no training data.

    Raises:
        ConfigurationError: A fraction is negative, or their sum is 1 or more.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ConfigurationError(
            "data.validation_fraction and data.test_fraction must be >= 0 with a sum below 1; "
            f"got {validation} and {test}",
            hint="0.1 and 0.1 are the defaults",
        )


def require_size(name: str, value: int, available: int) -> None:
    """Refuse a number of held-out items that is negative or leaves no training data.

    Raises:
        ConfigurationError: ``value`` is not in 0 .. available - 1.
    """
    if not 0 <= value < available:
        raise ConfigurationError(
            f"data.{name} must be in 0 .. {available - 1}, got {value}",
            hint="0 means to train on all of them",
        )


def require_items(n: int, needed: int, where: object) -> None:
    """Refuse a data set that is too small to split.

    Raises:
        DataError: There are fewer than ``needed`` items.
    """
    if n < needed:
        raise DataError(
            f"{where} holds {n} items, at least {needed} are needed",
            hint="add data, or set data.validation_fraction=0 data.test_fraction=0",
        )

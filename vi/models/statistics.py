"""Sums over data that an M-step needs, and nothing more of the data."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """Expected sufficient statistics under q: sums over data, so that they add up.

    Args:
        sums: By name; always ``count``, the number of data, and ``entropy``, the sum of H(q).

    >>> import torch
    >>> one = Statistics({"count": torch.tensor(2.0), "entropy": torch.tensor(0.5)})
    >>> (one + one - one)["count"]
    tensor(2.)
    """

    sums: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.sums[name]

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics({k: v + other.sums[k] for k, v in self.sums.items()})

    def __sub__(self, other: "Statistics") -> "Statistics":
        return Statistics({k: v - other.sums[k] for k, v in self.sums.items()})

"""Sums over data from which an M-step is computed."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """Expected sufficient statistics under q: sums over data, so they can be added.

    Args:
        sums: Sums by name; always ``count``, the number of data, and ``entropy``, the sum of H(q)
            in nats.

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

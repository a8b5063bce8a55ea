"""Data that a mixture can move to a component that has lost its own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vi.models.statistics import Statistics


@dataclass(frozen=True)
class Spare:
    """The least probable datum of each component.

    Args:
        x: (C, D).
        log_joint: log p(x, z = c) in nats, (C,); inf if no datum is known.
        needless: Whether every component has data, so that nothing need be collected. It is a
            Python bool, so that no step waits for the device.

    >>> spare = Spare(torch.zeros(2, 1), torch.tensor([-1.0, torch.inf]))
    >>> spare.order()
    [0]
    """

    x: Float[Tensor, "C D"]
    log_joint: Float[Tensor, " C"]
    needless: bool = False

    @classmethod
    def none(cls, x: Float[Tensor, "B D"], num_components: int) -> "Spare":
        """Return an object without data, for a mixture whose components all have some."""
        return cls(
            x.new_zeros(num_components, x.shape[1]),
            x.new_full((num_components,), torch.inf),
            needless=True,
        )

    @classmethod
    def of(
        cls, x: Float[Tensor, "B D"], z: Float[Tensor, "B C"], log_joint: Float[Tensor, " B"]
    ) -> "Spare":
        """Return the least probable datum of each component among these, with z one-hot."""
        least = log_joint[:, None].where(z > 0, torch.inf).min(0)
        return cls(x[least.indices], least.values)

    def __or__(self, other: "Spare") -> "Spare":
        """Return the least probable datum of each component among those of both."""
        less = other.log_joint < self.log_joint
        x = other.x.where(less[:, None], self.x)
        return Spare(x, other.log_joint.where(less, self.log_joint))

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint stores."""
        return {"x": self.x, "log_joint": self.log_joint}

    def order(self) -> list[int]:
        """Return the components that have a datum, least probable datum first."""
        return [c for c in self.log_joint.argsort().tolist() if self.log_joint[c] < torch.inf]

    def refilled(
        self, statistics: Statistics, of: Callable[[Tensor, Tensor], Statistics]
    ) -> Statistics:
        """Return the statistics after each empty component has received a datum of another.

        Only components with a mass above 1 give a datum, so some may remain empty.

        Args:
            statistics: Statistics with the ``mass`` of each component.
            of: Maps x (1, D) and its z (1, C) to their statistics.
        """
        mass = statistics["mass"]
        empty = (mass == 0).nonzero()[:, 0].tolist()
        rich = [c for c in self.order() if mass[c] > 1]
        identity = torch.eye(len(mass), dtype=mass.dtype, device=mass.device)
        for taker, giver in zip(empty, rich, strict=False):
            x = self.x[giver, None]
            statistics = statistics - of(x, identity[giver, None]) + of(x, identity[taker, None])
        return statistics

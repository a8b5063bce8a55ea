"""Centres from which a mixture starts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vi.initializations.base import Initialization
from vi.initializations.lloyd import Partition, lloyd, swapped

_START_ROWS = 1 << 14  # largest number of data among which centres are sought
_START_NUMBERS = 1 << 22  # largest number of entries in them
_PARTITIONS = 10  # least number of partitions by Lloyd's algorithm, and of starts if quick
_QUICK = 1 << 24  # numbers in the data times components up to which starts are quick
_ENOUGH_TIMES = 3  # a partition found so often is taken to be the best
_SWAPPED = 4  # number of partitions whose centres are moved if none was found so often
_SAME = 1e-9  # relative difference of inertia below which two partitions are the same


@dataclass(frozen=True)
class Starts:
    """Several first choices of C centres among data.

    Args:
        initialization: Chooses centres before Lloyd's algorithm.
        num_components: C.
        restarts: Number of choices; None for ten if they are quick, else one.
    """

    initialization: Initialization
    num_components: int
    restarts: int | None

    def centres(self, x: Float[Tensor, "N D"], *, soft: bool) -> list[Tensor]:
        """Return sets of centres (C, D), the one with the least inertia first.

        Many data are subsampled. Where k-means is easy, partitions differ little, and the best of
        them need not lead to the best mixture. With ``soft`` responsibilities, EM therefore also
        starts from centres before Lloyd's algorithm.
        """
        centre = x.mean(0)
        limit = max(min(_START_ROWS, _START_NUMBERS // x.shape[1]), 64 * self.num_components)
        chosen = torch.randperm(len(x), device=x.device)[:limit] if len(x) > limit else slice(None)
        centred, count = x[chosen] - centre, self._count(x)
        starts = [p.centres for p in self._partitions(centred)][:count]
        while soft and len(starts) < count:
            starts.append(self.initialization.centres(centred, self.num_components))
        return [c + centre for c in starts]

    def _partitions(self, centred: Tensor) -> list[Partition]:
        """Return distinct partitions, the best first."""
        found = self._found(centred)
        best = [p for p in found if p.inertia <= found[0].inertia * (1 + _SAME)]
        if len(best) < _ENOUGH_TIMES:
            better = [swapped(centred, one, self._many()) for one in found[:_SWAPPED]]
            found = sorted([*better, *found], key=lambda p: p.inertia)
        starts = [found[0]]
        for p in found[1:]:
            if p.inertia > starts[-1].inertia * (1 + _SAME):
                starts.append(p)
        return starts

    def _found(self, centred: Tensor) -> list[Partition]:
        """Return partitions by rising inertia, until the best has been found three times."""
        found: list[Partition] = []
        for _ in range(max(self._many(), self._count(centred))):
            centres = self.initialization.centres(centred, self.num_components)
            found.append(lloyd(centred, centres))
            found.sort(key=lambda p: p.inertia)
            least = found[:_ENOUGH_TIMES][-1].inertia <= found[0].inertia * (1 + _SAME)
            if least and len(found) >= max(_ENOUGH_TIMES, self._count(centred)):
                break
        return found

    def _many(self) -> int:
        """Return the number of partitions, and of swaps of a centre: more where they cost less."""
        return max(_PARTITIONS, 10 * _PARTITIONS // self.num_components)

    def _count(self, x: Tensor) -> int:
        """Return ``restarts``, or by default ten where they are quick, else one."""
        quick = x.numel() * self.num_components <= _QUICK
        return self.restarts or (_PARTITIONS if quick else 1)

"""The centres from which a mixture starts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vi.initializations.base import Initialization
from vi.initializations.lloyd import Partition, lloyd, swapped

_START_ROWS = 1 << 14  # of the data, among which centres are sought
_START_NUMBERS = 1 << 22  # in them
_PARTITIONS = 10  # at least, by Lloyd's algorithm; and so many starts of EM where it is quick
_QUICK = 1 << 24  # numbers times components
_ENOUGH_TIMES = 3  # that the best was found, and it is taken for the best of all
_SWAPPED = 4  # partitions, in which centres are moved where no best is plain
_SAME = 1e-9  # of the inertia, by which two partitions are the same


@dataclass(frozen=True)
class Starts:
    """Several first choices of C centres among data.

    Args:
        initialization: Chooses centres before Lloyd's algorithm.
        num_components: C.
        restarts: How many; if not given, ten where they are quick.
    """

    initialization: Initialization
    num_components: int
    restarts: int | None

    def centres(self, x: Float[Tensor, "N D"], *, soft: bool) -> list[Tensor]:
        """Centres, those of the least inertia first; of some of the data where they are many.

        Partitions differ little once k-means is easy, and the best of them need not lead to the
        best of the mixtures. So a soft EM starts from centres before Lloyd's algorithm, too.
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
        """Different ones, the best first."""
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
        """By rising inertia; no more than it takes to find the best thrice."""
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
        """Partitions, and swaps of a centre: more where they cost less."""
        return max(_PARTITIONS, 10 * _PARTITIONS // self.num_components)

    def _count(self, x: Tensor) -> int:
        """``restarts``; if not given, ten where they are quick."""
        quick = x.numel() * self.num_components <= _QUICK
        return self.restarts or (_PARTITIONS if quick else 1)

"""Order of the data: blocks of indices, divided where the trainer acts between steps."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vi.math import mix
from vi.training.settings import TrainerSettings


class IndexBlocks:
    """One epoch as lists of index blocks; a list contains several optimiser steps.

    The order is a function of (seed, epoch). The position in it follows from the number of
    optimiser steps taken, so that a resumed run continues with the batch that would have come
    next.

    Args:
        n: Number of training data.
        settings: Batch size and limits.
        seed: Seed of the run.
        steps_taken: Returns the number of optimiser steps taken so far.
        device: Device of the indices.
        steps_per_call: Returns the largest number of steps in a list.
        periods: A list ends at every multiple of these numbers of steps.
        same_order: Whether every epoch has the batches of the first one.
        is_open: Returns whether all steps of an epoch are taken but its end is not processed; then
            the epoch is one empty list.
    """

    def __init__(
        self,
        n: int,
        settings: TrainerSettings,
        seed: int,
        steps_taken: Callable[[], int],
        device: torch.device,
        *,
        steps_per_call: Callable[[], int],
        periods: Sequence[int],
        same_order: bool = False,
        is_open: Callable[[], bool] = lambda: False,
    ) -> None:
        self.n = n
        self.settings = settings
        self.seed = seed
        self.steps_taken = steps_taken
        self.device = device
        self.steps_per_call = steps_per_call
        self.periods = periods
        self.same_order = same_order
        self.is_open = is_open

    def __iter__(self) -> Iterator[list[Tensor]]:
        per_epoch = self.settings.steps_per_epoch(self.n)
        if self.is_open():
            yield []
            return
        step = self.steps_taken()
        epoch, position = divmod(step, per_epoch)
        order = self._order(0 if self.same_order else epoch)
        blocks = order.split(self.settings.batch_size)[:per_epoch]
        while position < per_epoch and step != self.settings.max_steps:
            count = min(self._until_boundary(step), per_epoch - position)
            yield list(blocks[position : position + count])
            position, step = position + count, step + count

    def _order(self, epoch: int) -> Tensor:
        """Return a permutation of the data, a function of (seed, epoch)."""
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        return torch.randperm(self.n, generator=generator).to(self.device)

    def _until_boundary(self, step: int) -> int:
        """Return the number of steps of the next list."""
        limit = self.settings.max_steps
        until_end = [] if limit is None else [limit - step]
        until_period = [period - step % period for period in self.periods]
        return min([self.steps_per_call(), *until_period, *until_end])


class InOrder:
    """Blocks of indices of held-out data, in order.

    Args:
        n: Number of data.
        batch_size: Number of data in a block.
        device: Device of the indices.
    """

    def __init__(self, n: int, batch_size: int, device: torch.device) -> None:
        self.blocks = torch.arange(n, device=device).split(batch_size) if n else ()

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.blocks)

"""Which entries depend on which: found by replacing one entry at a time."""

import torch
from torch import Tensor

from vi.auditing.entries import Entries

_MOST = 1024  # entries, each of which is replaced once


def dependence(entries: Entries, x: Tensor, other: Tensor) -> Tensor:
    """Return whether the term of entry d changes with entry e of x, (D, D), at [d, e].

    Bit for bit, so that the smallest dependence counts.

    Args:
        entries: The terms, without batch axes beyond those of x.
        x: A datum, (*event).
        other: Another datum, (*event), whose entries replace those of x one at a time.
    """
    size = x.numel()
    copies = x.flatten().expand(size, size).clone()
    changed = copies.clone()
    changed.diagonal().copy_(other.flatten())
    shape = (size, *x.shape)
    before = entries.log_prob(copies.view(shape)).flatten(1)
    after = entries.log_prob(changed.view(shape)).flatten(1)
    return ((before != after) & ~(before.isnan() & after.isnan())).mT


def is_acyclic(depends: Tensor) -> bool:
    """Return whether the entries have an order in which each depends only on those before it.

    >>> is_acyclic(torch.tensor([[True, False], [True, True]]))
    True
    >>> is_acyclic(torch.tensor([[True, True], [True, True]]))
    False
    """
    left = depends.clone().fill_diagonal_(False)  # noqa: FBT003, torch's
    alive = torch.ones(len(left), dtype=torch.bool, device=left.device)
    while True:
        free = alive & ~(left & alive[None]).any(1)
        if not free.any():
            return not bool(alive.any())
        alive &= ~free

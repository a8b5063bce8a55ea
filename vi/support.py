"""Comparison of values with the support of a likelihood, and the message about those outside."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint


@runtime_checkable
class DataHead(Protocol):
    """The support of x: a likelihood's head, or a model that is its own."""

    @property
    def support(self) -> Constraint:
        """The support of one entry of x."""
        ...

    @property
    def needs(self) -> str:
        """The support in words."""
        ...


def outside(support: Constraint, x: Tensor, known: Tensor | None = None) -> Tensor:
    """Return where x (B, *event) is outside the support; False at unknown entries.

    >>> from torch.distributions.constraints import boolean
    >>> outside(boolean, torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[True, True, False]]))
    tensor([[False,  True, False]])
    """
    bad = ~support.check(x)
    return bad & known if known is not None and bad.shape == known.shape else bad


def first_of(bad: Tensor, x: Tensor, offset: int = 0) -> str:
    """Return a text with the first value outside the support and its position.

    Args:
        bad: The result of ``outside`` for x.
        x: (B, *event).
        offset: Number of the first datum of x.

    >>> first_of(torch.tensor([[False, True]]), torch.tensor([[1.0, 2.0]]), offset=500)
    'first outside: 2 in item 500, entry [1]'
    """
    item, *entry = bad.nonzero()[0].tolist()
    number = f"{x[item, *entry].item():g} in " if bad.shape == x.shape else ""
    return f"first outside: {number}item {offset + item}" + (f", entry {entry}" if entry else "")


def told(head: Any, blocks: Iterable[tuple[Tensor, Tensor]], first: str, of: str = "") -> str:
    """Return the message that refuses values.

    Args:
        head: The likelihood, a ``ConditionalDistribution``.
        blocks: All x (B, *event), with masks of their known entries.
        first: The text of ``first_of``.
        of: Which data they are.
    """
    ranges = [x[known].aminmax() for x, known in blocks if known.any()]
    got = "got nothing that is known"
    if ranges:
        low, high = (torch.stack(ends) for ends in zip(*ranges, strict=True))
        got = f"got values in [{low.min():.2f}, {high.max():.2f}]"
    return f"{type(head).__name__} needs {head.needs}; {got}{of} ({first})"

"""The interface of checks: a model with its data in, a verdict out."""

import math
from abc import ABC, abstractmethod
from enum import Enum
from typing import ClassVar, NamedTuple

from torch import Tensor

from vi.auditing.subject import Subject


class Outcome(Enum):
    """What a check found, with the mark by which it is printed."""

    PASSED = "✓"
    FAILED = "✗"
    NOT_APPLICABLE = "–"


class Verdict(NamedTuple):
    """What a check found.

    Args:
        outcome: Whether the property holds; not applicable if it cannot be tested here.
        said: One sentence on what was measured, or why nothing was.
        number: What was measured: a distance from what is right.
        tolerance: The largest number that passes.
        unit: Unit of both.
    """

    outcome: Outcome
    said: str
    number: float | None = None
    tolerance: float | None = None
    unit: str = "nats"


def judged(number: float, tolerance: float, said: str, unit: str = "nats") -> Verdict:
    """Return the verdict on a distance: it passes up to the tolerance, and NaN does not.

    >>> judged(0.1, 0.2, "close").outcome
    <Outcome.PASSED: '✓'>
    """
    outcome = Outcome.PASSED if number <= tolerance else Outcome.FAILED
    return Verdict(outcome, said, number, tolerance, unit)


def distance(a: Tensor, b: Tensor) -> float:
    """Return the largest |a - b|, where two infinities or two NaN are equal.

    >>> import torch
    >>> distance(torch.tensor([1.0, torch.inf]), torch.tensor([1.5, torch.inf]))
    0.5
    """
    same = (a == b) | (a.isnan() & b.isnan())
    return (a - b).abs().where(~same, 0.0).nan_to_num(nan=math.inf).max().item()


def not_applicable(said: str) -> Verdict:
    """Return the verdict that nothing could be tested, and why."""
    return Verdict(Outcome.NOT_APPLICABLE, said)


class Check(ABC):
    """One property without which a number about p(x) means something else.

    An implementer sets ``title`` and ``proves`` and writes ``__call__``. Comes for free: a class
    in a module of ``vi/auditing/checks`` is part of every audit. The model is in evaluation mode,
    and an error of vi inside the check (a q without a density, for example) is reported as a
    reason why the check is not applicable.

    >>> from vi.auditing.check import Check, judged
    >>> class FewData(Check):
    ...     title, proves = "few data", "that the split has at most 100 data"
    ...     def __call__(self, subject):
    ...         return judged(len(subject.split), 100, "the number of data", "data")
    """

    title: ClassVar[str]
    """Its name in one to four words."""
    proves: ClassVar[str]
    """What it proves, as the end of a sentence: "that ..."."""

    @abstractmethod
    def __call__(self, subject: Subject) -> Verdict:
        """Test the property.

        Args:
            subject: The model, its data, and what was said about them.
        """

"""Stated numbers are those of this split, seed, binarisation and K."""

import math

import torch

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Claim, Subject
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.over_split import Measured, measure

_LEAST = 16  # data by which a number is computed again, however many draws it names
_SIGMAS = 5.0
_ROUNDING = 2e-5  # of the size of a number: other kernels, other threads
_OF_BOUND, _OF_WEIGHTS = ("elbo", "bound", "kl", "reconstruction"), "log_likelihood"


class Numbers(Check):
    """The stated ELBO and log p(x) come out again, from the split, seed, bits and K they name.

    The noise of a datum depends on the seed and the datum only, so the same numbers come out up
    to rounding. Where K is so large that only some of the data are evaluated, these are spread
    evenly over the split, and the stated mean lies within their standard error.
    """

    title = "the stated numbers"
    proves = "that the stated numbers are those of the split, the seed, the bits and the K named"

    def __call__(self, subject: Subject) -> Verdict:
        """Compute every stated number again."""
        worst, said, count = 0.0, [], 0
        for claim in subject.claims:
            for name, off, tolerance in [*_of_bound(subject, claim), *_of_k(subject, claim)]:
                count += 1
                if off / tolerance > max(worst, 1):
                    stated = f"{claim.source} says {claim.split}/{name} {claim.numbers[name]:.4f}"
                    said = [f"{stated}, which is {off:.3g} nats from what comes out"]
                worst = max(worst, off / tolerance)
            wrong = _wrong_count(subject, claim)
            said, worst = ([wrong], math.inf) if wrong else (said, worst)
        if not count and worst == 0:
            return not_applicable("no number was stated")
        said = said or [f"{count} numbers come out again as stated"]
        return judged(worst, 1.0, said[0], "of what rounding and the subset allow")


def _wrong_count(subject: Subject, claim: Claim) -> str | None:
    """Say that a number of a whole split was of fewer data, or of more."""
    stated, n = claim.numbers.get("count"), len(subject.split_of(claim.split))
    if stated is None or stated <= n:
        return None
    return f"{claim.source} names {stated} data of {claim.split}, which has {n}"


def _of_bound(subject: Subject, claim: Claim) -> list[tuple[str, float, float]]:
    """Compute bound and ELBO again: (name, difference, tolerance) each."""
    names = [name for name in _OF_BOUND if name in claim.numbers]
    repeats = int(claim.numbers.get("repeats", 1))
    if not names:
        return []
    n = _affordable(subject, claim, repeats)
    found = _measured(subject, claim, n, repeats)
    return [(name, *_compared(found, claim, name)) for name in names if name in found.columns]


def _of_k(subject: Subject, claim: Claim) -> list[tuple[str, float, float]]:
    """Compute log p(x) again with the K that the number names."""
    samples = claim.numbers.get(f"{_OF_WEIGHTS}_samples")
    if _OF_WEIGHTS not in claim.numbers or samples is None:
        return []
    n = _affordable(subject, claim, int(samples))
    evaluation = ImportanceSampling(int(samples))
    found = _measured(subject, claim, n, 1, evaluation)
    return [(_OF_WEIGHTS, *_compared(found, claim, _OF_WEIGHTS))]


def _affordable(subject: Subject, claim: Claim, draws: int) -> int:
    """Return the number of data that can be evaluated so often."""
    stated = int(claim.numbers.get("count", len(subject.split_of(claim.split))))
    return min(stated, max(_LEAST, subject.evaluations // max(draws, 1)))


def _measured(
    subject: Subject,
    claim: Claim,
    n: int,
    repeats: int,
    evaluation: ImportanceSampling | None = None,
) -> Measured:
    split = getattr(subject.data, claim.split)
    return measure(
        subject.model,
        split,
        subject.bound,
        evaluation,
        seed=claim.seed,
        limit=n,
        repeats=repeats,
    )


def _compared(found: Measured, claim: Claim, name: str) -> tuple[float, float]:
    """Return the distance of a stated number from what comes out, and the largest allowed."""
    column, stated = found.columns[name], float(claim.numbers[name])
    n = len(column)
    whole = int(claim.numbers.get("count", n))
    rounding = _ROUNDING * (1 + column.abs().mean().item())
    off = abs(column.mean().item() - stated)
    if n >= whole:
        return off, rounding
    share = math.sqrt(max(0.0, 1 - n / whole))
    return off, rounding + _SIGMAS * share * column.std().item() / math.sqrt(n)


def by_datum(found: Measured, claim: Claim, name: str) -> float | None:
    """Return the largest difference of a datum, where the claim has the value of each."""
    if claim.columns is None or name not in claim.columns:
        return None
    place = torch.searchsorted(claim.columns["index"], found.index)
    return (claim.columns[name][place] - found.columns[name]).abs().max().item()

"""Stated numbers are those of this split, seed, binarisation and K."""

import math

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Claim, Subject
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.over_split import Measured, measure

_LEAST = 16  # data by which a number is computed again, however many draws it names
_SIGMAS = 5.0
_ROUNDING = 2e-5  # of the size of a mean: other kernels, other threads
_OF_A_DATUM = 1e-3  # of the size of one value
_OF_BOUND, _OF_WEIGHTS = ("elbo", "bound", "kl", "reconstruction"), "log_likelihood"

Off = tuple[str, float, float]
"""The name of a number, its distance from what comes out again, and the largest allowed."""


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


def _of_bound(subject: Subject, claim: Claim) -> list[Off]:
    """Compute bound and ELBO again: (name, difference, tolerance) each."""
    names = [name for name in _OF_BOUND if name in claim.numbers]
    if not names:
        return []
    repeats = int(claim.numbers.get("repeats", 1))
    n = _affordable(subject, claim, repeats)
    found = _measured(subject, claim, n, repeats).columns
    kept = [name for name in names if name in found]
    return [_compared(claim, name, found[name], None) for name in kept]


def _of_k(subject: Subject, claim: Claim) -> list[Off]:
    """Compute log p(x) again with the K that the number names."""
    samples = claim.numbers.get(f"{_OF_WEIGHTS}_samples")
    if _OF_WEIGHTS not in claim.numbers or samples is None:
        return []
    n = _affordable(subject, claim, int(samples))
    found = _measured(subject, claim, n, 1, ImportanceSampling(int(samples)))
    whole = _measured(subject, claim, _count(subject, claim), 1).columns["elbo"]
    compared = _compared(claim, _OF_WEIGHTS, found.columns[_OF_WEIGHTS], whole, found)
    return [compared, *_by_datum(claim, found)]


def _count(subject: Subject, claim: Claim) -> int:
    """Return the number of data that the claim names, all of the split if it names none."""
    return int(claim.numbers.get("count", len(subject.split_of(claim.split))))


def _affordable(subject: Subject, claim: Claim, draws: int) -> int:
    """Return the number of data that can be evaluated so often."""
    most = max(_LEAST, subject.evaluations // max(draws, 1))
    return min(_count(subject, claim), most)


def _measured(
    subject: Subject,
    claim: Claim,
    n: int,
    repeats: int,
    evaluation: ImportanceSampling | None = None,
) -> Measured:
    split, seed = getattr(subject.data, claim.split), claim.seed
    rest = {"seed": seed, "limit": n, "repeats": repeats}
    return measure(subject.model, split, subject.bound, evaluation, **rest)


def _compared(
    claim: Claim,
    name: str,
    column: Tensor,
    elbo_of_all: Tensor | None,
    found: Measured | None = None,
) -> Off:
    """Return the distance of a stated mean from what comes out, and the largest allowed.

    The mean over all data is estimated from some of them, by their difference from the ELBO of
    all data where it is known.
    """
    stated, n = float(claim.numbers[name]), len(column)
    whole = int(claim.numbers.get("count", n))
    rounding = _ROUNDING * (1 + column.abs().mean().item())
    if n >= whole:
        return name, abs(column.mean().item() - stated), rounding
    beyond = column if found is None else column - found.columns["elbo"]
    level = 0.0 if elbo_of_all is None else elbo_of_all.mean().item()
    error = math.sqrt(1 - n / whole) * beyond.std().item() / math.sqrt(n)
    return name, abs(level + beyond.mean().item() - stated), rounding + _SIGMAS * error


def _by_datum(claim: Claim, found: Measured) -> list[Off]:
    """Compare the value of every datum with the stated one, where these are known."""
    if claim.columns is None or _OF_WEIGHTS not in claim.columns:
        return []
    theirs, ours = claim.columns["index"], found.index.to(claim.columns["index"].dtype)
    place = torch.searchsorted(theirs, ours).clamp_max(len(theirs) - 1)
    same = theirs[place] == ours
    if not same.any():
        return []
    stated, again = claim.columns[_OF_WEIGHTS][place][same], found.columns[_OF_WEIGHTS][same]
    off = (stated - again).abs().max().item()
    return [(_OF_WEIGHTS, off, _OF_A_DATUM * (1 + again.abs().max().item()))]

"""The data that are evaluated have the scale of the training data."""

import math

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject

_DATA = 1000
_VALUES = 1000  # more distinct values than these are no grid
_PARTS, _SIGMAS = 20, 5.0
_EDGE, _TIMES, _LEAST = 0.01, 5.0, 1.3  # what a clipped entry looks like; ratio of the spreads


class Scale(Check):
    """Both splits lie on the same grid, have about the same spread, and are clipped alike.

    Grey levels that are divided by another number, or rounded to fewer levels, are other data, on
    which a density is another number. The spread may differ by 30 %, and an end of the range that
    more than 1 % of all entries share must be shared in training too.
    """

    title = "one scale"
    proves = "that the data are on the scale of the training data, neither rounded nor clipped"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare grid, spread and ends of both splits."""
        if subject.name == "train":
            return not_applicable("it is about data beside the training data")
        train, ours = (_known(subject.split_of(n)) for n in ("train", subject.name))
        here, there = _step(ours), _step(train)
        if here != there and not _near(here, there):
            said = f"the step of its grid is {_said(here)}, of the training data {_said(there)}"
            return judged(float("inf"), _LEAST, said, "times")
        clipped = _clipped(ours, train)
        if clipped:
            return judged(float("inf"), _LEAST, clipped, "times")
        centre = train.mean()
        a, b = _spread(ours, centre), _spread(train, centre)
        ratio = max(a.mean(), b.mean()) / max(min(a.mean(), b.mean()), 1e-300)
        error = math.sqrt(a.var() / len(a) + b.var() / len(b))
        sure = abs(a.mean() - b.mean()) > _SIGMAS * error
        said = f"the spread is {a.mean():.4g}, that of the training data {b.mean():.4g}"
        return judged(float(ratio) if sure else 1.0, _LEAST, said, "times, if sure")


class Quantisation(Check):
    """A density of data on a grid gives no cell of the grid more than all probability.

    For a grid of step h in D entries, log p(x) + D log h is the log of a probability, about, and
    the mean over data from p(x) cannot exceed 0. If it does, the density has collapsed on the
    levels: the number says how fine the grid is, and not how likely the data are.
    """

    title = "density and grid"
    proves = "that a density of quantised data gives a cell of the grid at most probability 1"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the ELBO with the volume of a cell."""
        head = subject.model.data_head()
        if head is not None and head.support.is_discrete:
            return not_applicable("p(x|z) is a probability, not a density")
        step = _step(_known(subject.split))
        if step is None:
            return not_applicable("the data are on no grid")
        batch = subject.few()
        elbo = subject.log_weights(batch, 16).mean(0)
        known = batch.given.get("observed")
        size = batch.x[0].numel() if known is None else known.flatten(1).sum(1)
        above = (elbo + size * torch.log(torch.tensor(step, dtype=torch.float64))).mean().item()
        said = f"log p(x) + D log h is {above:.4g} nats, with steps h = {step:.3g}"
        return judged(above, 0.0, said)


def _spread(x: Tensor, centre: Tensor) -> Tensor:
    """Return the mean distance from the centre in parts of the data, (P,)."""
    return torch.stack([part.mean() for part in (x - centre).abs().chunk(_PARTS)])


def _known(split) -> Tensor:  # noqa: ANN001
    """Return the known entries of at most a thousand data."""
    batch = split.batch(split.spread(min(_DATA, len(split))))
    known = batch.given.get("observed")
    x = batch.x.double()
    return x.flatten() if known is None else x[known]


def _step(x: Tensor) -> float | None:
    """Return the smallest distance of two values; None if the values are on no grid."""
    values = x.unique()
    if len(values) > min(_VALUES, len(x) // 4) or len(values) < 2:
        return None
    gaps = values.diff()
    step = gaps.min()
    whole = gaps / step
    return step.item() if (whole - whole.round()).abs().max() < 0.01 else None


def _near(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) < 0.01 * b


def _said(step: float | None) -> str:
    return "none" if step is None else f"{step:.3g}"


def _clipped(ours: Tensor, train: Tensor) -> str | None:
    """Say which end of the range many entries share that few training entries share."""
    for name, end in (("least", torch.amin), ("largest", torch.amax)):
        edge = end(ours, 0)
        here = (ours == edge).double().mean().item()
        there = (train == edge).double().mean().item()
        beyond = ((train < edge) if name == "least" else (train > edge)).any()
        if here > _EDGE and here > _TIMES * there and beyond:
            share = f"{here:.1%} of its entries, and {there:.1%} of training"
            return f"{share}, have the {name} value {edge:.4g}"
    return None

"""The data that are evaluated are not among the training data."""

import math

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject
from vi.data.base import DynamicBits, Split

_MOST = 2000  # data that are searched for among the training data
_AT_ONCE = 100
_SIGMAS = 4.0
_BLIND = 0.8  # share of training data with a twin, from which a twin says nothing


class TrainingData(Check):
    """Test data are found among the training data no more often than training data themselves.

    Small discrete data repeat by chance: of 16 bits most test rows occur in training too. So the
    share of the data with a twin in the training data is compared with the share of training data
    that have a twin among the others. Where training bits are drawn at every visit, a twin is an
    image of grey levels from which the bits can have been drawn.
    """

    title = "unseen data"
    proves = "that the data are not among the training data"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Count twins, and compare with what chance gives."""
        train, split = _as_stored(subject)
        declared = "test split is the training" in str(subject.data.facts.get("data/split", ""))
        if subject.name == "train" or declared:
            return not_applicable("the numbers are those of the training data, and say so")
        n, m = min(_MOST, len(split)), min(_MOST, len(train))
        known = _Known(train)
        found = known.twins(split.batch(split.spread(n)).x)
        mine = train.spread(m)
        expected = (known.twins(train.frozen(subject.seed).batch(mine).x, mine)).double().mean()
        if expected > _BLIND:
            return not_applicable(f"{float(expected):.0%} of such data repeat by chance alone")
        share = found.double().mean()
        pooled = (found.sum() + expected * m) / (n + m)
        error = math.sqrt(max(float(pooled * (1 - pooled)), 1e-12) * (1 / n + 1 / m))
        number = float(share - expected) / error
        said = (
            f"{int(found.sum())} of {n} {subject.name} data are also training data; "
            f"of {m} training data {float(expected):.2%} have a twin"
        )
        return judged(number, _SIGMAS, said, "standard errors above chance")


def _as_stored(subject: Subject) -> tuple[Split, Split]:
    """Return training data and the split; as grey levels, where bits are drawn from them."""
    train, option = subject.data.train, subject.data.option
    if isinstance(train, DynamicBits) and option is not None and "binarize" in option.arguments:
        grey = type(option)(**option.arguments | {"binarize": "none"}).load(subject.data_seed)
        return grey.train, getattr(grey, subject.name)
    return train, subject.split


class _Known:
    """The training data, in which twins of other data are searched."""

    def __init__(self, train: Split) -> None:
        self.train = train
        self.drawn = isinstance(train, DynamicBits)
        stored = train.stored.flatten(1)
        if isinstance(train, DynamicBits):
            self.off = (stored == 0).float()
            self.on = (stored >= train.levels).float()
        else:
            self.hashes = _hashes(train.batch(torch.arange(len(train))).x)

    def twins(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """Return which data have a twin in the training data, (B,); not counting row ``own``."""
        if self.drawn:
            return self._could_be(x.flatten(1), own)
        values, counts = self.hashes.unique(return_counts=True)
        place = torch.searchsorted(values, _hashes(x)).clamp_max(len(values) - 1)
        same = values[place] == _hashes(x)
        return same & (counts[place] > (0 if own is None else 1))

    def _could_be(self, bits: Tensor, own: Tensor | None) -> Tensor:
        """Return which rows of bits can have been drawn from the grey levels of another row."""
        found = []
        for start in range(0, len(bits), _AT_ONCE):
            some = bits[start : start + _AT_ONCE]
            against = some @ self.off.T + (1 - some) @ self.on.T
            if own is not None:
                against[torch.arange(len(some)), own[start : start + _AT_ONCE]] = 1
            found.append((against == 0).any(1))
        return torch.cat(found)


def _hashes(x: Tensor) -> Tensor:
    """Return a whole number for each datum (B, *event), equal for equal data, (B,)."""
    flat = x.double().flatten(1).nan_to_num(nan=-1.7e77) + 0.0  # without -0
    keys = flat.view(torch.int64)
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(1 << 62), 1 << 62, (flat.shape[1],), generator=generator) | 1
    mixed = (keys ^ (keys >> 29)) * factors.to(keys.device)
    return (mixed ^ (mixed >> 32)).sum(1)

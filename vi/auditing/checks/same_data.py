"""The data are those that loading them again gives."""

import torch

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject
from vi.data.base import Split


class SameData(Check):
    """Every split is the one that its data set gives for this seed, bit for bit.

    Bits that were drawn again until they suited the model, data that were dropped, clipped or
    exchanged, and a binarisation other than the one named all show here.
    """

    title = "the data that are named"
    proves = "that bits and data of every split are those of the data set and the seed named"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Load the data again and compare."""
        if subject.data.option is None:
            return not_applicable("the data were given as tensors, so nothing names them")
        again = subject.data.option.load(subject.data_seed)
        pairs = {
            n: (getattr(subject.data, n), getattr(again, n)) for n in ("train", "val", "test")
        }
        found = {n: _difference(*pair) for n, pair in pairs.items() if pair != (None, None)}
        said = [f"{name} {what}" for name, (_, what) in found.items() if what]
        count = sum(len(ours) for ours, _ in pairs.values() if ours is not None)
        drawn = subject.data.facts.get("data/binarize", "none")
        text = "; ".join(said) or f"{count} data are the same, with binarize={drawn}"
        return judged(sum(off for off, _ in found.values()), 0, text, "data")


def _difference(ours: Split | None, theirs: Split | None) -> tuple[int, str]:
    """Return how many data differ, and what is different."""
    if ours is None or theirs is None or len(ours) != len(theirs):
        return max(len(ours or ()), len(theirs or ())), "has another number of data"
    if type(ours) is not type(theirs):
        return len(ours), "is binarised in another way than named"
    a, b = (split.stored.flatten(1).cpu() for split in (ours, theirs))
    same = (a == b.to(a.dtype)) | (a.isnan() & b.isnan())
    off = int((~same).any(1).sum())
    return off, f"has {off} other data" if off else ""

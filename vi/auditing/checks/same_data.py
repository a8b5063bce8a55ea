"""The data are those that loading them again gives."""

import torch

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject


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
        off, said, count = 0, [], 0
        for name in ("train", "val", "test"):
            ours, theirs = getattr(subject.data, name), getattr(again, name)
            if ours is None and theirs is None:
                continue
            count += 0 if ours is None else len(ours)
            if ours is None or theirs is None or len(ours) != len(theirs):
                off, said = off + 1, [*said, f"{name} has another number of data"]
                continue
            rows = ours.stored.flatten(1).cpu() != theirs.stored.flatten(1).to(ours.stored.dtype)
            different = (
                int(rows.any(1).sum())
                if not ours.stored.is_floating_point()
                else int(
                    (ours.stored.flatten(1).cpu() - theirs.stored.flatten(1).to(ours.stored.dtype))
                    .nan_to_num()
                    .abs()
                    .amax(1)
                    .gt(0)
                    .sum()
                )
            )
            same_kind = type(ours) is type(theirs)
            off += different + (0 if same_kind else len(ours))
            if different:
                said.append(f"{different} of {len(ours)} {name} data are others")
            if not same_kind:
                said.append(f"{name} is binarised in another way than named")
        drawn = subject.data.facts.get("data/binarize")
        text = "; ".join(said) or f"{count} data are the same, binarised as named: {drawn}"
        return judged(off, 0, text, "data")

"""The data lie on the support of the likelihood."""

import torch

from vi.auditing.check import Check, Verdict, judged
from vi.auditing.subject import Subject
from vi.support import outside

_AT_ONCE = 1000


class Support(Check):
    """Every known entry of every split is finite and on the support of p(x|z).

    A density of a datum outside the support is not one: a Bernoulli log-density of a grey level,
    for example, is a cross-entropy.
    """

    title = "the support of the data"
    proves = "that all data lie on the support of p(x|z)"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Count the entries outside the support."""
        head, off, all_of_it = subject.model.data_head(), 0, 0
        for name in ("train", "val", "test"):
            if getattr(subject.data, name) is None:
                continue
            split = subject.split_of(name)
            for rows in torch.arange(len(split), device=split.stored.device).split(_AT_ONCE):
                batch = split.batch(rows)
                known = batch.given.get("observed")
                bad = ~batch.x.isfinite() if known is None else ~batch.x.isfinite() & known
                if head is not None:
                    beyond = outside(head.support, batch.x, known)
                    bad = bad | beyond if bad.shape == beyond.shape else beyond
                off, all_of_it = off + int(bad.sum()), all_of_it + bad.numel()
        needs = "real numbers" if head is None else head.needs
        said = f"{off} of {all_of_it} entries of all splits are not {needs}"
        return judged(off, 0, said, "entries")

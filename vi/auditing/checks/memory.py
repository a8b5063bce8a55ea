"""p(x, z) is a function of x and z, and not of what the encoder saw before."""

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, distance, judged, not_applicable
from vi.auditing.subject import Subject
from vi.data.base import Batch

_BATCH, _SAMPLES = 8, 4


class Memory(Check):
    """log p(x, z) is the same to the last bit after the encoder has read x, and after other data.

    A decoder that reads features of x, kept by the encoder past z, gives values far above any
    log p(x).
    """

    title = "no way around z"
    proves = "that p(x|z) depends on x through z alone, not on what the encoder saw last"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare log p(x, z) after q(z|x) and after q(z|x') of other data."""
        n = min(_BATCH, len(subject.split) // 2)
        if n < 1:
            return not_applicable("needs two data or more")
        rows = subject.split.spread(2 * n)
        ours, others = subject.rows(rows[::2]), subject.rows(rows[1::2])
        z = subject.draws(ours, _SAMPLES)
        after_ours = _after(subject, ours, ours, z)
        after_others = _after(subject, others, ours, z)
        moved = distance(after_ours, after_others)
        said = f"log p(x, z) moves by {moved:.2g} nats when q(z|x') of other data comes before it"
        return judged(moved, 0.0, said)


def _after(subject: Subject, seen: Batch, batch: Batch, z: Tensor) -> Tensor:
    """Return log p(x, z) of a batch after the posterior of what was seen."""
    subject.posterior(seen)
    return subject.model.log_joint(batch.x, z, **batch.given)

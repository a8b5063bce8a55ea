"""A datum's log p(x) and bound do not depend on the data beside it."""

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, distance, judged, not_applicable
from vi.auditing.subject import Subject
from vi.data.base import Batch
from vi.distributions.datum_noise import datum_noise

_BATCH, _SAMPLES = 8, 16


class Company(Check):
    """log p(x_i) is the same to the last bit, whatever the rest of the batch contains.

    The batch keeps its size and x_i its position, so that the kernels are the same; all other
    data are replaced. Batch normalisation in training mode moves log p(x) by more than a nat, and
    one of 127 neighbours replaced by .02.
    """

    title = "independence of the company"
    proves = "that log p(x) and the bound of a datum do not depend on the data beside it"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the values of a datum in two batches, bit for bit."""
        n = min(_BATCH, len(subject.split) // 2)
        if n < 2:
            return not_applicable("needs four data or more")
        rows = subject.split.spread(2 * n)
        ours, others = rows[::2], rows[1::2]
        values, moved = _values(subject, subject.rows(ours)), 0.0
        for place in {0, n // 2, n - 1}:
            changed = others.clone()
            changed[place] = ours[place]
            found = _values(subject, subject.rows(changed))
            moved = max(moved, distance(found[:, place], values[:, place]))
        said = f"with {n - 1} other neighbours log p(x) and the bound move by {moved:.2g} nats"
        return judged(moved, 0.0, said)


def _values(subject: Subject, batch: Batch) -> Tensor:
    """Return the bound, and log p(x) from 16 weights, (2, B)."""
    assert batch.index is not None  # of a batch of ours
    log_p = subject.log_weights(batch, _SAMPLES).logsumexp(0)
    with datum_noise(subject.seed, batch.index):
        bound = subject.bound(subject.model, batch.x, **batch.given).value
    return torch.stack([log_p, bound.double()])

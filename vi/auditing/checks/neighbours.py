"""The derivative of a datum's log p(x) by another datum is exactly 0."""

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject
from vi.data.base import Batch

_BATCH, _SAMPLES = 4, 4


class Neighbours(Check):
    """d log p(x_i) / d x_j = 0 exactly, for j != i.

    The draws z are held. This sees a dependence that is too small to move a value, and needs no
    other data.
    """

    title = "gradient by the neighbours"
    proves = "that d log p(x_i)/dx_j is exactly 0 for every other datum j"

    def __call__(self, subject: Subject) -> Verdict:
        """Differentiate the log-weights of every datum of a small batch by all of them."""
        batch = subject.few(_BATCH)
        if len(batch.x) < 2:
            return not_applicable("needs two data or more")
        slopes = _slopes(subject, batch)
        if slopes is None:
            return not_applicable("log p(x) has no finite gradient in x")
        others = slopes.amax(-1).masked_fill(torch.eye(len(batch.x), dtype=torch.bool), 0.0)
        worst = others.max().item()
        said = f"the largest |d log p(x_i)/dx_j| among {len(batch.x)} data is {worst:.2g}"
        return judged(worst, 0.0, said, "nats per unit of x")


def _slopes(subject: Subject, batch: Batch) -> Tensor | None:
    """Return |d log w_i / d x_j|, (B, B, D); None if there is no such gradient."""
    z = subject.draws(batch, _SAMPLES)
    with torch.enable_grad():
        x = batch.x.detach().clone().requires_grad_()
        moving = Batch(x, batch.given, batch.index)
        log_q = subject.posterior(moving).log_prob(z)
        log_w = (subject.model.log_joint(x, z, **batch.given) - log_q).sum(0)
        if not log_w.requires_grad:
            return None
        rows = [
            torch.autograd.grad(one, x, retain_graph=True, allow_unused=True)[0] for one in log_w
        ]
    if any(row is None or not row.isfinite().all() for row in rows):
        return None
    return torch.stack(rows).abs().flatten(2).cpu()

"""log p(x, z) is log p(x|z) + log p(z)."""

import torch

from vi.auditing.check import Check, Verdict, distance, judged
from vi.auditing.subject import Subject

_BATCH, _SAMPLES = 16, 4
_ROUNDINGS = 256  # of the sum over the entries of x


class Joint(Check):
    """log p(x, z) = log p(x|z) + log p(z), the terms with weight 1.

    A model may compute the sum in a faster way. A weight on a term, a mean instead of a sum, or a
    constant shows here.
    """

    title = "the joint density"
    proves = "that log p(x, z) is log p(x|z) + log p(z), without weights"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the joint density with the sum of its two factors."""
        batch = subject.few(_BATCH)
        z, model = subject.draws(batch, _SAMPLES), subject.model
        log_prior = model.prior(**batch.given).log_prob(z)
        log_likelihood = model.likelihood(z, **batch.given).log_prob(batch.x)
        log_joint = model.log_joint(batch.x, z, **batch.given)
        size = 1 + log_likelihood.abs() + log_prior.abs()
        eps = torch.finfo(log_joint.dtype).eps
        off = distance(log_joint, log_likelihood + log_prior)
        worst = distance(log_joint / size, (log_likelihood + log_prior) / size)
        said = f"log p(x, z) and log p(x|z) + log p(z) differ by {off:.2g} nats"
        return judged(worst, _ROUNDINGS * eps, said, "of their size")

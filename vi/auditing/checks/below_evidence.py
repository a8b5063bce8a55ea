"""The bound lies below log p(x)."""

import math

import torch

from vi.auditing.check import Check, Verdict, judged
from vi.auditing.checks.value import reported
from vi.auditing.subject import Subject
from vi.math import log_mean_exp

_DATA, _REPEATS, _SAMPLES = 32, 16, 500
_SIGMAS = 5.0


class BelowEvidence(Check):
    """No bound and no ELBO lies above log p(x).

    log p(x) is the exact one if the model has it, else a mean of 500 weights, which is below it.
    """

    title = "below log p(x)"
    proves = "that the reported bound does not lie above log p(x)"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the mean of the bound with log p(x)."""
        batch = subject.few(_DATA)
        value, elbo = reported(subject, batch, _REPEATS)
        log_w = subject.log_weights(batch, _SAMPLES)
        exact = subject.model.log_evidence(batch.x, **batch.given)
        log_p = log_mean_exp(log_w, 0) if exact is None else exact.double()
        weights = (log_w - log_w.amax(0)).softmax(0)
        spread = (weights.square().sum(0) - 1 / len(log_w)).clamp_min(0)
        bound = subject.bound
        ours = value if bound.is_elbo or bound.is_mean_of_weights else elbo
        above = (ours.mean(0) - log_p).mean().item()
        variance = ours.var(0) / len(ours) + spread * (exact is None)
        error = math.sqrt(variance.sum().item()) / len(log_p)
        rounding = 1e-5 * (1 + log_p.abs().mean().item())
        of = "the exact log p(x)" if exact is not None else f"log p(x) from {_SAMPLES} draws"
        said = f"the bound lies {above:+.3g} nats from {of}, on average over {len(log_p)} data"
        return judged(max(above - rounding, 0) / max(error, 1e-300), _SIGMAS, said, "s.e. above")

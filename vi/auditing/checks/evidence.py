"""A closed form of log p(x) is the log p(x) of the model."""

import math

import torch

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.subject import Subject

_DATA, _SAMPLES = 50, 2000
_SIGMAS = 5.0


class Evidence(Check):
    """E_q[w] = p(x): the weights, divided by the exact p(x), have mean 1.

    With the exact posterior as q every weight is p(x), and the check has no error.
    """

    title = "the exact log p(x)"
    proves = "that the closed form of log p(x) is that of p(x, z)"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the closed form with importance weights."""
        batch = subject.few(_DATA)
        exact = subject.model.log_evidence(batch.x, **batch.given)
        if exact is None:
            return not_applicable("the model has no closed form of log p(x)")
        log_ratio = subject.log_weights(batch, _SAMPLES) - exact.double()
        constant = log_ratio.abs().max().item()
        if constant < 1e-6 * (1 + exact.abs().max().item()):
            said = f"every weight equals the exact p(x), up to {constant:.1g} nats"
            return judged(constant, 1e-3, said)
        ratio = log_ratio.exp()
        off, error = (ratio.mean(0) - 1).mean().item(), ratio.std(0).square().sum().item()
        error = math.sqrt(error / len(ratio)) / len(exact)
        said = f"the mean of w / p(x) is 1 {off:+.2g}, with a standard error of {error:.1g}"
        return judged(abs(off) / error, _SIGMAS, said, "standard errors")

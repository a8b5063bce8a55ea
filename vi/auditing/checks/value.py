"""What a bound reports is the bound, and not what is differentiated."""

import math

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged
from vi.auditing.subject import Subject
from vi.bounds.base import Bound, SampledBound
from vi.data.base import Batch
from vi.distributions.datum_noise import datum_noise
from vi.math import log_mean_exp

_DATA, _REPEATS = 32, 64
_SIGMAS = 5.0


class Value(Check):
    """The value of a bound is a mean of the log-weights log p(x, z_k) - log q(z_k|x).

    The mean over 64 repeats is compared with E[log w], for a bound that says that it is the ELBO,
    and with E[log (1/K) sum_k w_k], for one that says that it is a mean of K weights. The term
    ``elbo`` of every bound is compared with E[log w]. A surrogate, a weight on the KL, a missing
    log K or another K than the one named shows as a difference.
    """

    title = "a value, not a surrogate"
    proves = "that the bound and its elbo are what their names say, from the log-weights"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the bound and the ELBO with their definitions."""
        batch = subject.few(_DATA)
        value, elbo = _reported(subject, batch)
        pairs = {"elbo": (elbo, 1)}
        samples = _samples(subject.bound)
        if samples is not None:
            pairs["bound"] = (value, samples)
        worst, said = 0.0, []
        for name, (reported, k) in pairs.items():
            off, t = _compared(reported, _defined(subject, batch, k))
            worst = max(worst, t)
            said.append(f"{name} is {off:+.2g} nats off its definition with K = {k}")
        if samples is None:
            said.append(f"{subject.bound.title} declares another objective than a bound")
        return judged(worst, _SIGMAS, "; ".join(said), "standard errors")


def _samples(bound: Bound) -> int | None:
    """Return the K of the bound's definition, or None if it declares another objective."""
    if bound.is_elbo:
        return 1
    known = bound.is_mean_of_weights and isinstance(bound, SampledBound)
    return bound.num_samples if known else None


def _reported(subject: Subject, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the value and the ELBO of each datum, in 64 repeats, (R, B) each."""
    assert batch.index is not None  # of a batch of ours
    value, elbo = [], []
    for repeat in range(_REPEATS):
        with datum_noise(subject.seed + repeat, batch.index):
            estimate = subject.bound(subject.model, batch.x, **batch.given)
        value.append(estimate.value.double())
        elbo.append(estimate.terms["elbo"].double())
    return torch.stack(value), torch.stack(elbo)


def _defined(subject: Subject, batch: Batch, k: int) -> Tensor:
    """Return log (1/K) sum_k w_k in 64 repeats, (R, B)."""
    whole = subject.log_weights(batch, k * _REPEATS)
    return torch.stack([log_mean_exp(part, 0) for part in whole.split(k)])


def _compared(reported: Tensor, defined: Tensor) -> tuple[float, float]:
    """Return the mean difference, and how many of its standard errors it is."""
    off = (reported.mean(0) - defined.mean(0)).mean().item()
    variance = (reported.var(0) + defined.var(0)) / len(reported)
    rounding = 1e-5 * (1 + defined.abs().mean().item())
    error = math.sqrt(variance.sum().item()) / variance.numel()
    return off, max(abs(off) - rounding, 0.0) / max(error, 1e-300)

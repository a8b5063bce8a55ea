"""What a bound reports is the bound, and not what is differentiated."""

import math

import torch
from torch import Tensor

from vi.auditing.check import Check, Verdict, judged
from vi.auditing.subject import Subject
from vi.bounds.base import SampledBound
from vi.data.base import Batch
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.protocols import StandIn
from vi.math import log_mean_exp

_DATA, _REPEATS = 32, 100
_SIGMAS = 5.0


class Value(Check):
    """The value of a bound is a mean of the log-weights log p(x, z_k) - log q(z_k|x).

    For the same draws, the value of a bound that says that it is the ELBO or a mean of K weights
    is compared with (1/K) sum_k log w_k or log (1/K) sum_k w_k, and the term ``elbo`` of every
    bound with the former. A form with a closed-form KL agrees in expectation, so the mean over
    repeats is compared. A surrogate, a weight on the KL, a missing log K or another K than the one
    named shows as a difference.
    """

    title = "a value, not a surrogate"
    proves = "that the bound and its elbo are what their names say, from the log-weights"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Compare the bound and the ELBO with their definitions."""
        batch, bound = subject.few(_DATA), subject.bound
        of_weights = isinstance(bound, SampledBound) and bound.is_mean_of_weights
        samples = bound.num_samples if isinstance(bound, SampledBound) else 1
        value, elbo = reported(subject, batch, _REPEATS)
        log_w = _weights(subject, batch, samples)
        pairs = {"elbo": (elbo, log_w.mean(1))}
        if bound.is_elbo or of_weights:
            defined = log_w.mean(1) if bound.is_elbo else log_mean_exp(log_w, 1)
            pairs["bound"] = (value, defined)
        off, worst = {}, 0.0
        for name, (ours, defined) in pairs.items():
            off[name], sigmas = _compared(ours, defined)
            worst = max(worst, sigmas)
        said = ", ".join(f"{name} is off by {by:+.2g} nats" for name, by in off.items())
        said = f"with K = {samples} {said}"
        if "bound" not in pairs:
            said += f"; {bound.title} declares another objective than a bound"
        return judged(worst, _SIGMAS, said, "s.e.")


def reported(subject: Subject, batch: Batch, repeats: int) -> tuple[Tensor, Tensor]:
    """Return the value and the ELBO of each datum, in several repeats, (R, B) each."""
    assert batch.index is not None  # of a batch of ours
    value, elbo = [], []
    for repeat in range(repeats):
        with datum_noise(subject.seed + repeat, batch.index):
            estimate = subject.bound(subject.model, batch.x, **batch.given)
        value.append(estimate.value.double())
        elbo.append(estimate.terms["elbo"].double())
    return torch.stack(value), torch.stack(elbo)


def _weights(subject: Subject, batch: Batch, samples: int) -> Tensor:
    """Return log w of K draws with the noise of ``reported``, (R, K, B)."""
    assert batch.index is not None  # of a batch of ours
    repeats = []
    for repeat in range(_REPEATS):
        with datum_noise(subject.seed + repeat, batch.index):
            q = subject.model.posterior(batch.x, **batch.given)
            at = draw(q.discrete if isinstance(q, StandIn) else q, samples)
        log_joint = subject.model.log_joint(batch.x, at.z, **batch.given)
        repeats.append(log_joint.double() - at.log_q.double())
    return torch.stack(repeats)


def _compared(ours: Tensor, defined: Tensor) -> tuple[float, float]:
    """Return the mean difference, and how many of its standard errors it is."""
    difference = ours - defined
    off = difference.mean().item()
    error = math.sqrt((difference.var(0) / len(ours)).sum().item()) / ours.shape[1]
    rounding = 1e-5 * (1 + defined.abs().mean().item())
    if not math.isfinite(off):
        return off, math.inf
    return off, max(abs(off) - rounding, 0.0) / max(error, rounding / _SIGMAS)

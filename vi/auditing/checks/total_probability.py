"""p(x) sums or integrates to 1 over all x, through its estimate."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from vi.auditing.check import Check, Verdict, judged, not_applicable
from vi.auditing.checks.densities import _data_support
from vi.auditing.normalisation import values_of
from vi.auditing.subject import Subject
from vi.distributions.protocols import StandIn
from vi.testing.quadrature import kind

_STATES, _ROOM = 1 << 16, 3  # states that are summed over, dimensions that are integrated over
_NODES, _CENTRES = 4000, 500
_LEAST, _MOST = 16, 2000  # draws of z for each x
_AT_ONCE = 1 << 16  # rows of the decoder
_SIGMAS, _ROUNDING = 5.0, 1e-4


class TotalProbability(Check):
    """sum_x p(x) = 1, with p(x) by importance sampling from q(z|x) and p(z) alike.

    The weights p(x, z) / (q(z|x) / 2 + p(z) / 2) are at most 2 p(x|z), so the standard error is
    one. Up to 2^16 states are summed; in up to three dimensions x is drawn from a mixture of
    kernels around draws of the model.
    """

    title = "the total of p(x)"
    proves = "that p(x) sums or integrates to 1"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Sum or integrate p(x)."""
        size, support = math.prod(subject.model.data_shape), _data_support(subject)
        where = "Real" if support is None else kind(support)
        given = {k: v[:1] for k, v in subject.few(1).given.items() if k != "observed"}
        states = _states(subject, support, size)
        if states is None and (where != "Real" or size > _ROOM):
            what = f"{size} {where} entries have too many states to sum over"
            what = what if where != "Real" else f"{size} dimensions are too many to integrate over"
            return not_applicable(f"{what}; p(z) and p(x|z) are proved by their factors")
        found = _integrated(subject, given) if states is None else _summed(subject, states, given)
        off = max(abs(found.whole - 1) - _ROUNDING, 0) / max(found.error, 1e-12)
        said = f"p(x) adds up to {found.whole:.5f} ± {found.error:.2g} over {found.count} x"
        return judged(off, _SIGMAS, f"{said}, K = {found.samples}", "s.e. from 1")


class _Found(NamedTuple):
    """The total of p(x), its standard error, and from how many x and z."""

    whole: float
    error: float
    count: int
    samples: int


def _summed(subject: Subject, states: Tensor, given: dict[str, Tensor]) -> _Found:
    """Sum the estimates of p(x) over all x."""
    samples = _samples(subject, len(states))
    mean, variance = _estimates(subject, states, given, samples)
    return _Found(mean.sum().item(), variance.sum().sqrt().item(), len(states), samples)


def _integrated(subject: Subject, given: dict[str, Tensor]) -> _Found:
    """Return E[p(x) / r(x)] for x ~ r, a mixture of kernels around draws of the model."""
    x, log_r = _around(subject.model.sample(_CENTRES, **_wide(given, _CENTRES)))
    samples = _samples(subject, len(x))
    ratio = _estimates(subject, x, given, samples)[0] / log_r.exp()
    error = ratio.std().item() / math.sqrt(len(ratio))
    return _Found(ratio.mean().item(), error, len(x), samples)


def _samples(subject: Subject, count: int) -> int:
    return max(_LEAST, min(_MOST, subject.evaluations // count))


def _states(subject: Subject, support: Constraint | None, size: int) -> Tensor | None:
    """Return all x of discrete data, (S, *event), if there are at most 2^16."""
    if support is None or kind(support) not in ("Boolean", "Grid"):
        return None
    values = values_of(torch.distributions.Bernoulli(0.5), support)
    if len(values) ** size > _STATES:
        return None
    return torch.cartesian_prod(*[values] * size).view(-1, *subject.model.data_shape)


def _around(centres: Tensor) -> tuple[Tensor, Tensor]:
    """Draw x from kernels around some x, with their log-density."""
    flat = centres.flatten(1).double()
    size = flat.shape[1]
    width = 1.3 * flat.std(0) * len(flat) ** (-1 / (size + 4))
    index = torch.randint(len(flat), (_NODES,))
    x = flat[index] + width * torch.distributions.StudentT(3.0).sample((_NODES, size)).double()
    each = torch.distributions.StudentT(3.0, flat, width).log_prob(x[:, None]).sum(-1)
    log_r = each.logsumexp(1) - math.log(len(flat))
    return x.to(centres).view(-1, *centres.shape[1:]), log_r


def _wide(given: dict[str, Tensor], n: int) -> dict[str, Tensor]:
    return {k: v.expand(n, *v.shape[1:]) for k, v in given.items()}


def _estimates(
    subject: Subject, x: Tensor, given: dict[str, Tensor], samples: int
) -> tuple[Tensor, Tensor]:
    """Return p(x) and the variance of its estimate, in double precision, (S,) each."""
    exact = subject.model.log_evidence(x, **_wide(given, len(x)))
    if exact is not None:
        return exact.double().exp(), torch.zeros(len(x), dtype=torch.float64)
    means, variances = [], []
    for some in x.split(max(1, _AT_ONCE // samples)):
        weights = _weights(subject, some, _wide(given, len(some)), samples)
        means.append(weights.mean(0))
        variances.append(weights.var(0) / len(weights))
    return torch.cat(means), torch.cat(variances)


def _weights(subject: Subject, x: Tensor, given: dict[str, Tensor], samples: int) -> Tensor:
    """Return p(x, z) / (q(z|x) / 2 + p(z) / 2), (K, S), or p(x, z) by states of z."""
    q, p = subject.model.posterior(x, **given), subject.model.prior(**given)
    q = q.discrete if isinstance(q, StandIn) else q
    half = samples // 2
    ours = q.sample((half,))
    theirs = p.sample((half,)) if p.batch_shape else p.sample((half, len(x)))
    z = torch.cat([ours, theirs])
    log_q, log_p = q.log_prob(z).double(), p.log_prob(z).double()
    log_joint = subject.model.log_joint(x, z, **given).double()
    strata = log_joint - (torch.logaddexp(log_q, log_p) - math.log(2))
    whole = strata.exp()
    return (whole[:half] + whole[half:]) / 2

"""ELBO and log p(x) from the same log-weights of one q, with the error of their difference."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.draw import draw
from vi.models.base import LatentVariableModel

ERRORS = 2
"""Standard errors that a gap must exceed."""


class Weighed(NamedTuple):
    """What the log-weights of one q say of each datum, (B,) each."""

    elbo: Tensor
    elbo_error: Tensor
    log_likelihood: Tensor
    error: Tensor
    effective_sample_size: Tensor
    pareto_k: Tensor
    gap_error: Tensor
    """Standard error of log p(x) - ELBO, both from the same draws."""

    def knowing(self, evidence: Tensor) -> "Weighed":
        """Return the same with log p(x) in closed form."""
        none = torch.zeros_like(evidence)
        return self._replace(
            log_likelihood=evidence,
            error=none,
            pareto_k=none - math.inf,
            gap_error=self.elbo_error,
        )


class Logs:
    """Mean and variance of l = log w, and its covariance with w, of blocks (K, B)."""

    def __init__(self) -> None:
        self.drawn = 0
        self.blocks: list[Tensor] = []

    def add(self, log_w: Float[Tensor, "K B"]) -> None:
        """Take in the log-weights of a block of draws."""
        self.drawn += len(log_w)
        whole = log_w.logsumexp(0)
        tilted = ((log_w - whole).exp() * log_w).sum(0)
        sums = log_w.sum(0), log_w.square().sum(0)
        self.blocks.append(torch.stack([*sums, whole, tilted]))

    def beside(self, value: Tensor, error: Tensor, ess: Tensor, k: Tensor) -> Weighed:
        """Return all that is known of the log-weights, of which the others are given.

        With w of mean 1, the error of log(mean w) - mean l is by the delta method

            sqrt((var w + var l - 2 cov(w, l)) / K),   cov(w, l) = E[w l] - E[l].
        """
        sums, squares, whole, tilted = torch.stack(self.blocks, 1)
        mean = sums.sum(0) / self.drawn
        variance = (squares.sum(0) / self.drawn - mean.square()).clamp_min(0) / self.drawn
        covariance = ((whole.softmax(0) * tilted).sum(0) - mean) / self.drawn
        elbo_error = variance.sqrt() if self.drawn > 1 else torch.full_like(mean, math.nan)
        gap_error = (error.square() + variance - 2 * covariance).clamp_min(0).sqrt()
        return Weighed(mean, elbo_error, value, error, ess, k, gap_error)


def of_states(
    model: LatentVariableModel,
    q: Distribution,
    x: Tensor,
    given: Mapping[str, Tensor],
    num_samples: int,
) -> Weighed:
    """Sum over all states of z, which leaves no error; a state that q excludes adds nothing."""
    at = draw(q, 1, enumerate_support=True)
    log_joint, log_q = model.log_joint(x, at.z, **given).double(), at.log_q.double()
    terms = log_q.exp() * (log_joint - log_q)
    elbo = terms.where(log_q > -math.inf, 0.0).sum(0)
    none = torch.zeros_like(elbo)
    evidence = log_joint.logsumexp(0)
    return Weighed(elbo, none, evidence, none, none + num_samples, none - math.inf, none)


class Gap(NamedTuple):
    """A part of the gap, and its standard error, in nats per datum."""

    value: float
    error: float

    @property
    def is_seen(self) -> bool:
        """Whether it exceeds its error twice."""
        return self.value > ERRORS * self.error

    def __str__(self) -> str:
        digits = min(6, max(2, 1 - math.floor(math.log10(self.error)))) if self.error > 0 else 3
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


def gap(name: str, numbers: Mapping[str, float]) -> Gap:
    """Return a gap with the larger one of its Monte-Carlo error and its error over data."""
    errors = (numbers.get(f"{name}_{end}", 0.0) for end in ("se", "data_se"))
    return Gap(numbers[name], max(errors))

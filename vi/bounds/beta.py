"""A weight on the KL term, reached by a warm-up."""

from torch import Tensor

from vi.bounds.base import Bound, Estimate
from vi.errors import require_positive
from vi.models.base import LatentVariableModel


class Beta(Bound):
    """bound - (beta_t - 1) KL, which for the ELBO is E_q[log p(x|z)] - beta_t KL(q || p).

    beta_t rises linearly from ``start`` to ``beta`` over the first ``warmup_steps`` optimiser
    steps of training. Outside training (``bound.eval()``) it is ``beta`` from the first step on,
    so that ``val/bound`` is one and the same function throughout a run; and early stopping begins
    only when the warm-up has ended. A bound of log p(x) only where beta >= 1.

    Args:
        bound: The bound whose KL is weighted.
        beta: The final weight.
        warmup_steps: Optimiser steps until the weight is reached; 0 for none.
        start: The weight at step 0.

    Reference: Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl; warm-up: Bowman et
    al., 2016, https://arxiv.org/abs/1511.06349
    """

    def __init__(
        self, bound: Bound, beta: float = 4.0, warmup_steps: int = 0, start: float = 0.0
    ) -> None:
        super().__init__()
        require_positive("beta", beta)
        require_positive("warmup_steps", warmup_steps, -1)
        self.bound, self.needs = bound, bound.needs
        self.beta = beta
        self.start = start
        self.warmup_steps = max(warmup_steps, bound.warmup_steps)
        self.ramp = warmup_steps
        self.step = 0

    @property
    def weight(self) -> float:
        """beta_t."""
        if not self.training or self.step >= self.ramp:
            return self.beta
        return self.start + (self.beta - self.start) * self.step / self.ramp

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        inner = self.bound(model, x, **given)
        excess = (self.weight - 1) * inner.terms["kl"]
        return Estimate(inner.value - excess, inner.surrogate - excess, inner.terms)

    def at_step(self, step: int) -> None:
        """Move the warm-up to this step."""
        self.step = step
        self.bound.at_step(step)

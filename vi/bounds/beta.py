"""A weight beta on the KL term, with a warm-up."""

from torch import Tensor

from vi.bounds.base import Bound, Estimate
from vi.errors import require_positive
from vi.models.base import LatentVariableModel


class Beta(Bound):
    """Weighted bound - (beta_t - 1) KL; for the ELBO it is E_q[log p(x|z)] - beta_t KL(q || p).

    beta_t rises linearly from ``start`` to ``beta`` over the first ``warmup_steps`` optimiser
    steps of training. Outside training (``bound.eval()``) it is ``beta`` from the first step on,
    so that ``val/bound`` is the same function throughout a run. Early stopping begins when the
    warm-up has ended. Only with beta >= 1 is the value a lower bound of log p(x).

    Args:
        bound: The bound whose KL is weighted.
        beta: Final weight.
        warmup_steps: Optimiser steps until the weight reaches ``beta``; 0 for no warm-up.
        start: Weight at step 0.

    Raises:
        ConfigurationError: ``beta`` is not positive, or ``warmup_steps`` is negative.

    Reference: Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl; warm-up: Bowman et
    al., 2016, https://arxiv.org/abs/1511.06349

    >>> from vi.bounds.elbo import ELBO
    >>> bound = Beta(ELBO(), beta=4.0, warmup_steps=100)
    >>> bound.at_step(50)
    >>> bound.weight, bound.eval().weight
    (2.0, 4.0)
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
    def title(self) -> str:
        """Its own bound and beta, such as ELBO, beta 4."""
        return f"{self.bound.title}, beta {self.beta:g}"

    @property
    def weight(self) -> float:
        """beta_t at the current step."""
        if not self.training or self.step >= self.ramp:
            return self.beta
        return self.start + (self.beta - self.start) * self.step / self.ramp

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate the inner bound and subtract (beta_t - 1) KL from its value and surrogate.

        The terms are those of the inner bound.
        """
        inner = self.bound(model, x, **given)
        excess = (self.weight - 1) * inner.terms["kl"]
        return Estimate(inner.value - excess, inner.surrogate - excess, inner.terms)

    def at_step(self, step: int) -> None:
        """Set the step of the warm-up, also for the inner bound."""
        self.step = step
        self.bound.at_step(step)

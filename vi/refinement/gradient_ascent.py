"""Refinement by gradient steps with momentum: plain stochastic variational inference."""

from collections.abc import Callable

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.refinement.base import Refinement


class GradientAscent(Refinement):
    """lambda <- lambda + lr v with v <- momentum v + grad_lambda bound(q_lambda), T times.

    The steps are smooth functions of the gradient and thus suited to differentiation through them.
    They diverge if lr is too large for the curvature of the bound, which is about 1 / sd(z|x)^2
    for the mean of a Gaussian q.

    Args:
        num_steps: T.
        lr: Step length.
        momentum: Fraction of the last step that is kept.
        clip_norm: Largest norm of a datum's gradient; larger ones are scaled down to it. None does
            not clip.
        num_draws: Number of draws for each gradient.

    Raises:
        ConfigurationError: ``num_steps``, ``lr``, ``clip_norm`` or ``num_draws`` is not positive.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550

    >>> ascent = GradientAscent(num_steps=1, lr=0.1)
    >>> ascent(lambda at: -(at - 3).square().sum(1), torch.zeros(1, 2)).round(decimals=3)
    tensor([[0.6000, 0.6000]])
    """

    def __init__(
        self,
        num_steps: int = 10,
        lr: float = 0.003,
        momentum: float = 0.5,
        clip_norm: float | None = None,
        num_draws: int = 1,
    ) -> None:
        super().__init__(num_steps, num_draws)
        require_positive("lr", lr)
        if clip_norm is not None:
            require_positive("clip_norm", clip_norm)
        self.lr = lr
        self.momentum = momentum
        self.clip_norm = clip_norm

    def ascend(
        self, gradient: Callable[[Tensor], Tensor], parameters: Tensor, num_steps: int
    ) -> Tensor:
        """Take ``num_steps`` gradient steps with momentum, uphill."""
        velocity = torch.zeros_like(parameters)
        for _ in range(num_steps):
            velocity = self.momentum * velocity + self._clipped(gradient(parameters))
            parameters = parameters + self.lr * velocity
        return parameters

    def _clipped(self, gradient: Tensor) -> Tensor:
        """Scale down the gradient of each datum, (B, *P), to norm ``clip_norm``."""
        if self.clip_norm is None:
            return gradient
        norm = gradient.flatten(1).norm(dim=1).clamp_min(self.clip_norm)
        return gradient * (self.clip_norm / norm).view(-1, *[1] * (gradient.ndim - 1))

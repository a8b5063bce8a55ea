"""Plain stochastic variational inference: gradient steps with momentum."""

from collections.abc import Callable

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.refinement.base import Refinement


class GradientAscent(Refinement):
    """lambda <- lambda + lr v with v <- momentum v + grad_lambda bound(q_lambda), T times.

    Steps in proportion to the gradient are smooth to differentiate through; they diverge where lr
    exceeds the curvature of the bound, which is about 1 / sd(z|x)^2 for the mean of a Gaussian q.

    Args:
        num_steps: T.
        lr: The step size.
        momentum: What is kept of the last step.
        clip_norm: The norm of a datum's gradient is clipped to this; None leaves it.
        num_draws: Of each gradient.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
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
        """See ``Refinement``."""
        velocity = torch.zeros_like(parameters)
        for _ in range(num_steps):
            velocity = self.momentum * velocity + self._clipped(gradient(parameters))
            parameters = parameters + self.lr * velocity
        return parameters

    def _clipped(self, gradient: Tensor) -> Tensor:
        if self.clip_norm is None:
            return gradient
        norm = gradient.flatten(1).norm(dim=1).clamp_min(self.clip_norm)
        return gradient * (self.clip_norm / norm).view(-1, *[1] * (gradient.ndim - 1))

"""Steps that do not depend on the scale of the gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.refinement.base import Refinement

_EPS = 1e-8


class AdamAscent(Refinement):
    """Adam on lambda, T times, each datum and coordinate with a step of its own.

    No coordinate moves by more than about lr a step, so it does not diverge whatever the model;
    the short memory (betas) is that of a few steps.

    Args:
        num_steps: T.
        lr: The step size.
        betas: What is kept of the mean gradient, and of its square.
        num_draws: Of each gradient.

    Reference: Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980
    """

    def __init__(
        self,
        num_steps: int = 10,
        lr: float = 0.03,
        betas: Sequence[float] = (0.5, 0.9),
        num_draws: int = 1,
    ) -> None:
        super().__init__(num_steps, num_draws)
        require_positive("lr", lr)
        self.lr = lr
        self.betas = betas

    def ascend(
        self, gradient: Callable[[Tensor], Tensor], parameters: Tensor, num_steps: int
    ) -> Tensor:
        """See ``Refinement``."""
        keep_mean, keep_square = self.betas
        mean = square = torch.zeros_like(parameters)
        for step in range(1, num_steps + 1):
            g = gradient(parameters)
            mean = keep_mean * mean + (1 - keep_mean) * g
            square = keep_square * square + (1 - keep_square) * g.square()
            # the root of 0 has no derivative, so epsilon stands inside
            root = (square / (1 - keep_square**step) + _EPS**2).sqrt()
            parameters = parameters + self.lr / (1 - keep_mean**step) * mean / root
        return parameters

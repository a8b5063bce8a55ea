"""Refinement by Adam, whose step length does not depend on the scale of the gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.refinement.base import Refinement

_EPS = 1e-8


class AdamAscent(Refinement):
    """T steps of Adam on lambda, with a separate step length for each datum and coordinate.

    No coordinate moves by more than about lr per step, so the steps do not diverge, whatever the
    model. The default betas average over a few steps only, as there are only a few.

    Args:
        num_steps: T.
        lr: Step length.
        betas: Decay rates of the averages of the gradient and of its square.
        num_draws: Number of draws for each gradient.

    Raises:
        ConfigurationError: ``num_steps``, ``lr`` or ``num_draws`` is not positive.

    Reference: Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980

    >>> ascent = AdamAscent(num_steps=200, lr=0.1)
    >>> ascent(lambda at: -(at - 3).square().sum(1), torch.zeros(1, 2)).round(decimals=3)
    tensor([[3., 3.]])
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
        """Take ``num_steps`` steps of Adam with bias correction, uphill."""
        keep_mean, keep_square = self.betas
        mean = square = torch.zeros_like(parameters)
        for step in range(1, num_steps + 1):
            g = gradient(parameters)
            mean = keep_mean * mean + (1 - keep_mean) * g
            square = keep_square * square + (1 - keep_square) * g.square()
            # sqrt has no derivative at 0, so epsilon is inside the root
            root = (square / (1 - keep_square**step) + _EPS**2).sqrt()
            parameters = parameters + self.lr / (1 - keep_mean**step) * mean / root
        return parameters

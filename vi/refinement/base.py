"""The interface of refinement: steps on the variational parameters of each datum."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.options import Configurable


class Refinement(Configurable, ABC):
    """Maximises an objective in lambda, independently for each datum.

    An implementer writes ``ascend``, and calls ``super().__init__`` with the numbers below. Comes
    for free: the gradient of the objective, differentiable or not. The steps on one datum must not
    depend on the other data of the batch.

    Args:
        num_steps: T.
        num_draws: Number of draws for each gradient, if the objective is estimated from draws.

    Raises:
        ConfigurationError: ``num_steps`` or ``num_draws`` is not positive.
    """

    def __init__(self, num_steps: int, num_draws: int = 1) -> None:
        require_positive("num_steps", num_steps)
        require_positive("num_draws", num_draws)
        self.num_steps, self.num_draws = num_steps, num_draws

    @abstractmethod
    def ascend(
        self, gradient: Callable[[Tensor], Tensor], parameters: Tensor, num_steps: int
    ) -> Tensor:
        """Take the steps.

        Args:
            gradient: lambda (B, *P) -> the gradient of each datum's objective, (B, *P).
            parameters: The start, (B, *P).
            num_steps: Number of steps.

        Returns:
            The refined lambda, (B, *P).
        """

    def __call__(
        self,
        objective: Callable[[Tensor], Tensor],
        parameters: Tensor,
        *,
        factor: int = 1,
        differentiable: bool = False,
    ) -> Tensor:
        """Refine variational parameters.

        Args:
            objective: The function to maximise: lambda (B, *P) -> a value for each datum, (B,).
            parameters: The start, (B, *P).
            factor: The number of steps is multiplied by this.
            differentiable: Whether the result keeps the graph through all steps; otherwise it is
                detached.

        Returns:
            The refined lambda, (B, *P).
        """

        def gradient(at: Tensor) -> Tensor:
            at = at if differentiable else at.detach()
            at = at if at.requires_grad else at.requires_grad_()
            value = objective(at).sum()
            return torch.autograd.grad(value, at, create_graph=differentiable)[0]

        with torch.enable_grad():
            refined = self.ascend(gradient, parameters, factor * self.num_steps)
        return refined if differentiable else refined.detach()

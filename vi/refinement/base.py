"""The role of a refinement: steps on the variational parameters of each datum."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.models.base import LatentVariableModel
from vi.options import Option
from vi.refinement.posterior_of import PosteriorOf


class Refinement(Option, ABC):
    """Climbs a bound in the lambda of each datum, which never disturbs another.

    An implementer writes ``ascend``, and calls ``super().__init__`` with the number of steps.

    Args:
        num_steps: T.
    """

    def __init__(self, num_steps: int) -> None:
        require_positive("num_steps", num_steps)
        self.num_steps = num_steps

    @abstractmethod
    def ascend(
        self, gradient: Callable[[Tensor], Tensor], parameters: Tensor, num_steps: int
    ) -> Tensor:
        """Take the steps.

        Args:
            gradient: lambda (B, *P) -> the gradient of each datum's bound (B, *P).
            parameters: The start.
            num_steps: How many.
        """

    def __call__(
        self,
        model: LatentVariableModel,
        bound: Callable[..., Any],
        x: Tensor,
        parameters: Tensor,
        given: Mapping[str, Tensor],
        *,
        factor: int = 1,
        differentiable: bool = False,
    ) -> Tensor:
        """Refine variational parameters.

        Args:
            model: Gives p(x, z), and q for variational parameters.
            bound: What is climbed: a ``vi.Bound``, or anything that gives a ``surrogate``.
            x: (B, *event).
            parameters: The start, (B, *P).
            given: What the model conditions on.
            factor: So many times as many steps.
            differentiable: Whether the result keeps the graph through all steps; else it is cut
                off from everything.

        Returns:
            (B, *P).
        """

        def gradient(at: Tensor) -> Tensor:
            at = at if differentiable else at.detach()
            at = at if at.requires_grad else at.requires_grad_()
            surrogate = bound(PosteriorOf(model, model.posterior_at(at)), x, **given).surrogate
            return torch.autograd.grad(surrogate.sum(), at, create_graph=differentiable)[0]

        with torch.enable_grad():
            refined = self.ascend(gradient, parameters, factor * self.num_steps)
        return refined if differentiable else refined.detach()

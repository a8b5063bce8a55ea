"""Stochastic variational inference: gradient steps on the q of each datum."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vi.errors import require_positive
from vi.models.base import LatentVariableModel
from vi.options import Option
from vi.refinement.posterior_of import PosteriorOf


class GradientAscent(Option):
    """lambda <- lambda + lr v with v <- momentum v + grad_lambda bound(q_lambda), T times.

    Each datum has its own lambda and its own gradient, which is clipped by its norm, so that one
    datum never disturbs another.

    Args:
        num_steps: T.
        lr: The step size.
        momentum: What is kept of the last step.
        clip_norm: The norm of a datum's gradient is clipped to this; None leaves it.

    Reference: Hoffman, Blei, Wang and Paisley, 2013, https://jmlr.org/papers/v14/hoffman13a.html;
    Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
    """

    def __init__(
        self,
        num_steps: int = 10,
        lr: float = 0.01,
        momentum: float = 0.5,
        clip_norm: float | None = None,
    ) -> None:
        require_positive("num_steps", num_steps)
        require_positive("lr", lr)
        if clip_norm is not None:
            require_positive("clip_norm", clip_norm)
        self.num_steps = num_steps
        self.lr = lr
        self.momentum = momentum
        self.clip_norm = clip_norm

    def longer(self, factor: int) -> "GradientAscent":
        """The same with so many times as many steps."""
        return GradientAscent(self.num_steps * factor, self.lr, self.momentum, self.clip_norm)

    def __call__(
        self,
        model: LatentVariableModel,
        bound: Callable[..., Any],
        x: Tensor,
        parameters: Tensor,
        given: Mapping[str, Tensor],
        *,
        differentiable: bool = False,
    ) -> Tensor:
        """Refine variational parameters.

        Args:
            model: Gives p(x, z), and q for variational parameters.
            bound: What is climbed: a ``vi.Bound``, or anything that gives a ``surrogate``.
            x: (B, *event).
            parameters: The start, (B, *P).
            given: What the model conditions on.
            differentiable: Whether the result keeps the graph through all steps; else it is cut
                off from everything.

        Returns:
            (B, *P).
        """
        if not differentiable:
            parameters = parameters.detach()
        velocity = torch.zeros_like(parameters)
        with torch.enable_grad():
            for _ in range(self.num_steps):
                start = parameters if differentiable else parameters.detach()
                start = start if start.requires_grad else start.requires_grad_()
                q = model.posterior_at(start)
                surrogate = bound(PosteriorOf(model, q), x, **given).surrogate
                (gradient,) = torch.autograd.grad(
                    surrogate.sum(), start, create_graph=differentiable
                )
                velocity = self.momentum * velocity + self._clipped(gradient)
                parameters = start + self.lr * velocity
        return parameters if differentiable else parameters.detach()

    def _clipped(self, gradient: Tensor) -> Tensor:
        if self.clip_norm is None:
            return gradient
        norm = gradient.flatten(1).norm(dim=1).clamp_min(self.clip_norm)
        return gradient * (self.clip_norm / norm).view(-1, *[1] * (gradient.ndim - 1))

"""The interface of transitions along a path of densities, many chains of many data at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class State(NamedTuple):
    """C chains of each of B data, with both ends of the path, and their gradients if needed."""

    z: Float[Tensor, "C B *Z"]
    log_start: Float[Tensor, "C B"]
    log_target: Float[Tensor, "C B"]
    gradients: tuple[Float[Tensor, "C B *Z"], ...] = ()

    def log_prob(self, beta: float) -> Float[Tensor, "C B"]:
        """log f_beta(z)."""
        return self.log_start.lerp(self.log_target, beta)

    def gradient(self, beta: float) -> Float[Tensor, "C B *Z"]:
        """Of log f_beta in z."""
        start, target = self.gradients
        return start.lerp(target, beta)

    def where(self, accepted: Tensor, other: "State") -> "State":
        """This state where accepted, (C, B), and the other elsewhere."""

        def chosen(a: Tensor, b: Tensor) -> Tensor:
            return a.where(accepted.view(*accepted.shape, *[1] * (a.ndim - 2)), b)

        pairs = zip(self.gradients, other.gradients, strict=True)
        return State(
            chosen(self.z, other.z),
            chosen(self.log_start, other.log_start),
            chosen(self.log_target, other.log_target),
            tuple(chosen(*pair) for pair in pairs),
        )


@dataclass(frozen=True)
class Path:
    """log f_beta(z) = (1 - beta) log q(z) + beta log p(x, z), unnormalised but at beta = 0.

    Args:
        log_start: log q(z), (C, B, *Z) -> (C, B).
        log_target: log p(x, z).
    """

    log_start: Callable[[Tensor], Tensor]
    log_target: Callable[[Tensor], Tensor]

    def at(self, z: Float[Tensor, "C B *Z"]) -> State:
        """Evaluate both ends."""
        return State(z, self.log_start(z), self.log_target(z))

    @torch.enable_grad()
    def with_gradients(self, z: Float[Tensor, "C B *Z"]) -> State:
        """Evaluate both ends and their gradients."""
        z = z.detach().requires_grad_()
        ends = self.log_start(z), self.log_target(z)
        gradients = tuple(torch.autograd.grad(end.sum(), z)[0] for end in ends)
        start, target = (end.detach() for end in ends)
        return State(z.detach(), start, target, gradients)


@dataclass(frozen=True)
class Transition(ABC):
    """A reversible move of every chain that leaves f_beta invariant.

    An implementer writes ``__call__`` and ``noise_dim``, and ``begin`` if it needs gradients.

    Args:
        path: Of densities.
        num_steps: Evaluations of the path in a move.
    """

    adapts: ClassVar[bool] = False
    """Whether the move depends on a step size, which a pilot run then finds."""

    path: Path
    num_steps: int

    def begin(self, z: Float[Tensor, "C B *Z"]) -> State:
        """Return the state of chains at z."""
        return self.path.at(z)

    @property
    @abstractmethod
    def noise_dim(self) -> int:
        """M, the standard normals that a move of a chain takes."""

    @abstractmethod
    def __call__(
        self,
        state: State,
        beta: float,
        step: Float[Tensor, " B"],
        noise: Float[Tensor, "C B M"],
    ) -> tuple[State, Float[Tensor, " B"]]:
        """Move every chain once.

        Args:
            state: Of the chains.
            beta: Inverse temperature.
            step: Step size of each datum; ignored unless the transition ``adapts``.
            noise: Standard normal.

        Returns:
            The new state, and the mean probability of acceptance of each datum.
        """


def metropolis(
    new: State, state: State, log_ratio: Float[Tensor, "C B"], uniform: Float[Tensor, "C B"]
) -> tuple[State, Float[Tensor, "C B"]]:
    """Accept a symmetric proposal with probability min(1, ratio), else stay; Metropolis' rule."""
    probability = log_ratio.clamp_max(0).exp().nan_to_num(0.0)
    return new.where(uniform < probability, state), probability

"""Hamiltonian Monte Carlo along a path of densities, many chains of many data at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_TARGET = 0.65  # share of accepted proposals: Beskos et al., 2013, for leapfrog steps
_GAIN = 0.5  # of log step size for an acceptance that is off by 1


class State(NamedTuple):
    """C chains of each of B data, with both ends of the path and their gradients in z."""

    z: Float[Tensor, "C B Z"]
    log_start: Float[Tensor, "C B"]
    log_target: Float[Tensor, "C B"]
    start_gradient: Float[Tensor, "C B Z"]
    target_gradient: Float[Tensor, "C B Z"]

    def log_prob(self, beta: float) -> Float[Tensor, "C B"]:
        """log f_beta(z)."""
        return self.log_start.lerp(self.log_target, beta)

    def gradient(self, beta: float) -> Float[Tensor, "C B Z"]:
        """Of log f_beta in z."""
        return self.start_gradient.lerp(self.target_gradient, beta)

    def where(self, accepted: Tensor, other: "State") -> "State":
        """This state where accepted, (C, B), and the other elsewhere."""
        rows = accepted[..., None]
        own = (rows, accepted, accepted, rows, rows)
        return State(*(a.where(m, b) for m, a, b in zip(own, self, other, strict=True)))


@dataclass(frozen=True)
class Path:
    """log f_beta(z) = (1 - beta) log q(z) + beta log p(x, z), unnormalised but at beta = 0.

    Args:
        log_start: log q(z), (C, B, Z) -> (C, B).
        log_target: log p(x, z).
    """

    log_start: Callable[[Tensor], Tensor]
    log_target: Callable[[Tensor], Tensor]

    @torch.enable_grad()
    def at(self, z: Float[Tensor, "C B Z"]) -> State:
        """Evaluate both ends and their gradients."""
        z = z.detach().requires_grad_()
        ends = self.log_start(z), self.log_target(z)
        gradients = [torch.autograd.grad(end.sum(), z)[0] for end in ends]
        start, target = (end.detach() for end in ends)
        return State(z.detach(), start, target, *gradients)


@dataclass(frozen=True)
class Hamiltonian:
    """A transition that leaves f_beta invariant: leapfrog steps, then Metropolis' rule.

    Args:
        path: Of densities.
        scale: Of z in each dimension, (B, Z): the mass matrix is its inverse square.
        num_steps: L leapfrog steps, each a gradient.
    """

    path: Path
    scale: Float[Tensor, "B Z"]
    num_steps: int

    def __call__(
        self,
        state: State,
        beta: float,
        step: Float[Tensor, " B"],
        momentum: Float[Tensor, "C B Z"],
        uniform: Float[Tensor, "C B"],
    ) -> tuple[State, Float[Tensor, " B"]]:
        """Move every chain once.

        Args:
            state: Of the chains.
            beta: Inverse temperature.
            step: Size of a leapfrog step in units of ``scale``.
            momentum: Standard normal.
            uniform: On [0, 1].

        Returns:
            The new state, and the mean probability of acceptance of each datum.
        """
        stride, new = step[:, None] * self.scale, state
        p = momentum + stride / 2 * new.gradient(beta)
        for number in range(1, self.num_steps + 1):
            new = self.path.at(new.z + stride * p)
            whole = 1.0 if number < self.num_steps else 0.5
            p = p + whole * stride * new.gradient(beta)
        gain = new.log_prob(beta) - state.log_prob(beta)
        energy = (momentum.square() - p.square()).sum(-1) / 2 + gain
        probability = energy.clamp_max(0).exp().nan_to_num(0.0)
        return new.where(uniform < probability, state), probability.mean(0)


def adapted(step: Float[Tensor, " B"], acceptance: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """A longer step where more proposals than 65 % are accepted, a shorter one elsewhere."""
    return step * (_GAIN * (acceptance - _TARGET)).exp()

"""Hamiltonian Monte Carlo: moves of real vectors z along the gradient of their density."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vi.evaluation.annealing.transition import State, Transition, metropolis

_TARGET = 0.65  # share of accepted proposals: Beskos et al., 2013, for leapfrog steps
_GAIN = 0.5  # of log step size for an acceptance that is off by 1


@dataclass(frozen=True)
class Hamiltonian(Transition):
    """Leapfrog steps from a random momentum, then Metropolis' rule.

    Args:
        path: Of densities.
        num_steps: L leapfrog steps, each a gradient.
        scale: Of z in each dimension, (B, Z): the mass matrix is its inverse square.

    Reference: Neal, 2011, https://arxiv.org/abs/1206.1901
    """

    adapts: ClassVar[bool] = True

    scale: Float[Tensor, "B Z"]

    @property
    def noise_dim(self) -> int:
        """The momentum, and one for the decision."""
        return self.scale.shape[1] + 1

    def begin(self, z: Float[Tensor, "C B Z"]) -> State:
        """Return the state of chains at z, with gradients."""
        return self.path.with_gradients(z)

    def __call__(
        self,
        state: State,
        beta: float,
        step: Float[Tensor, " B"],
        noise: Float[Tensor, "C B M"],
    ) -> tuple[State, Float[Tensor, " B"]]:
        """Move every chain once; ``step`` is in units of ``scale``."""
        momentum, uniform = noise[..., 1:], torch.special.ndtr(noise[..., 0])
        stride, new = step[:, None] * self.scale, state
        p = momentum + stride / 2 * new.gradient(beta)
        for number in range(1, self.num_steps + 1):
            new = self.path.with_gradients(new.z + stride * p)
            whole = 1.0 if number < self.num_steps else 0.5
            p = p + whole * stride * new.gradient(beta)
        gain = new.log_prob(beta) - state.log_prob(beta)
        energy = (momentum.square() - p.square()).sum(-1) / 2 + gain
        moved, probability = metropolis(new, state, energy, uniform)
        return moved, probability.mean(0)


def adapted(step: Float[Tensor, " B"], acceptance: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """A longer step where more proposals than 65 % are accepted, a shorter one elsewhere."""
    return step * (_GAIN * (acceptance - _TARGET)).exp()

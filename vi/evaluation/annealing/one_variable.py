"""Metropolis within Gibbs: moves of discrete z that change one variable at a time."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from vi.evaluation.annealing.transition import State, Transition, metropolis


@dataclass(frozen=True)
class OneVariable(Transition):
    """Proposes another value for a variable chosen at random, then Metropolis' rule; L times.

    An implementer writes ``proposed``. The proposal is symmetric, so that the move is reversible.

    Args:
        path: Of densities.
        num_steps: L proposals, each an evaluation of the path.
        num_variables: N.

    Reference: Liu, 1996, https://doi.org/10.1093/biomet/83.3.681
    """

    num_variables: int

    @property
    def noise_dim(self) -> int:
        """Variable, value and decision of each proposal."""
        return 3 * self.num_steps

    @abstractmethod
    def proposed(
        self, z: Tensor, variable: Int64[Tensor, "C B"], uniform: Float[Tensor, "C B"]
    ) -> Tensor:
        """Return z with another value of this variable, equally likely to be any other."""

    def __call__(
        self,
        state: State,
        beta: float,
        step: Float[Tensor, " B"],
        noise: Float[Tensor, "C B M"],
    ) -> tuple[State, Float[Tensor, " B"]]:
        """Move every chain once."""
        del step
        accepted = torch.zeros_like(state.log_target)
        for drawn in torch.special.ndtr(noise).unflatten(-1, (-1, 3)).unbind(-2):
            which, value, decision = drawn.unbind(-1)
            variable = _index(which, self.num_variables)
            new = self.path.at(self.proposed(state.z, variable, value))
            ratio = new.log_prob(beta) - state.log_prob(beta)
            state, probability = metropolis(new, state, ratio, decision)
            accepted += probability
        return state, accepted.mean(0) / self.num_steps


@dataclass(frozen=True)
class FlippedBit(OneVariable):
    """z in {0, 1}^N: the other value of a bit.

    Args:
        path: Of densities.
        num_steps: L proposals.
        num_variables: N.
    """

    def proposed(
        self, z: Tensor, variable: Int64[Tensor, "C B"], uniform: Float[Tensor, "C B"]
    ) -> Tensor:
        """Return z (C, B, N) with a bit flipped."""
        del uniform
        at = one_hot(variable, self.num_variables).to(z)
        return z + at - 2 * at * z


@dataclass(frozen=True)
class OtherCategory(OneVariable):
    """One-hot z, (V,) or (N, V): one of the V - 1 other categories of a variable.

    Args:
        path: Of densities.
        num_steps: L proposals.
        num_variables: N.
    """

    def proposed(
        self, z: Tensor, variable: Int64[Tensor, "C B"], uniform: Float[Tensor, "C B"]
    ) -> Tensor:
        """Return z (C, B, V) or (C, B, N, V) with a variable moved to another category."""
        categories = z.shape[-1]
        whole = z.reshape(*z.shape[:2], self.num_variables, categories)
        old = whole.argmax(-1).gather(-1, variable[..., None])[..., 0]
        new = (old + 1 + _index(uniform, categories - 1)) % categories
        at = one_hot(variable, self.num_variables)[..., None].bool()
        return one_hot(new, categories).to(z)[..., None, :].where(at, whole).view_as(z)


def _index(uniform: Float[Tensor, "C B"], size: int) -> Int64[Tensor, "C B"]:
    return (uniform * size).long().clamp_max(size - 1)

"""Schedules of the inverse temperature, from 0 to 1, of annealed importance sampling."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from vi.errors import require_positive
from vi.options import Configurable


class Temperatures(Configurable, ABC):
    """beta_0 = 0 < beta_1 < ... < beta_T = 1. An implementer writes ``shape``."""

    @abstractmethod
    def shape(self, at: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
        """An increasing function of [0, 1]; it is moved and scaled so that it goes from 0 to 1."""

    def __call__(self, num_temperatures: int) -> Float[Tensor, " T"]:
        """T + 1 inverse temperatures in double precision.

        Raises:
            ConfigurationError: No temperatures.
        """
        require_positive("num_temperatures", num_temperatures)
        shape = self.shape(torch.linspace(0, 1, num_temperatures + 1, dtype=torch.float64))
        return (shape - shape[0]) / (shape[-1] - shape[0])


class Sigmoidal(Temperatures):
    """beta_t ~ sigmoid(delta (2 t / T - 1)): small steps at both ends, where p and q differ most.

    Args:
        delta: Steepness.

    Reference: Grosse, Ghahramani and Adams, 2015, https://arxiv.org/abs/1511.02543

    >>> Sigmoidal()(2).tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, delta: float = 4.0) -> None:
        require_positive("delta", delta)
        self.delta = delta

    def shape(self, at: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
        """The logistic function from -delta to delta."""
        return (self.delta * (2 * at - 1)).sigmoid()


class Geometric(Temperatures):
    """beta_t ~ ratio^(t / T): steps that grow by the same factor, small near the start.

    Args:
        ratio: Of the last step to the first.

    >>> Geometric(4.0)(2).tolist()
    [0.0, 0.3333333333333333, 1.0]
    """

    def __init__(self, ratio: float = 100.0) -> None:
        require_positive("ratio", ratio - 1)
        self.ratio = ratio

    def shape(self, at: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
        """An exponential function."""
        return self.ratio**at

"""The role of a bound, and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float
from torch import Tensor, nn

from vi.distributions.draw import Points
from vi.errors import require_positive
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.options import Configurable


@dataclass(frozen=True)
class Estimate:
    """What a bound says about a batch, in nats per datum.

    Args:
        value: The estimate of the bound: reported, compared, never differentiated by a scheme.
        surrogate: What is differentiated; its value means nothing where it differs from ``value``.
        terms: Always ``elbo`` (the mean log-weight), ``kl`` and ``reconstruction``, with
            elbo = reconstruction - kl; a bound may add others.
    """

    value: Float[Tensor, " B"]
    surrogate: Float[Tensor, " B"]
    terms: dict[str, Float[Tensor, " B"]]


class Need(Enum):
    """What a bound may ask of q(z|x) and p(z)."""

    KL = "a closed-form KL(q || p)"
    LAYER_KL = "a closed-form KL of every layer"
    ENTROPY = "a closed-form entropy of q"
    DENSITY = "log q of its draws"
    DRAWS = "draws of q with a pathwise gradient, as a support is not summed over"


class Bound(Configurable, nn.Module, ABC):
    """A lower bound of log p(x), to be maximised.

    An implementer takes hyper-parameters in ``__init__`` and writes ``forward``.
    """

    warmup_steps: int = 0
    """Optimiser steps during which the objective still changes; nothing stops early before."""
    needs: frozenset[Need] = frozenset()
    """What it refuses to do without."""
    is_elbo: bool = False
    """Whether its value is E_q[log p(x, z) - log q(z|x)] in expectation, for every K."""
    is_mean_of_weights: bool = False
    """Whether it is some mean of the log-weights: log p(x), where q is the exact posterior."""

    @admitting
    def __call__(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """``forward`` of data that are looked at first (``vi.inputs``)."""
        return super().__call__(model, x, **given)

    @abstractmethod
    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate the bound for a batch.

        Args:
            model: Gives p(x, z) and q(z|x).
            x: Data (B, *event).
            **given: What the model conditions on.
        """

    def at_step(self, step: int) -> None:
        """Told before each training step how many optimiser steps were taken."""
        del step


class SampledBound(Bound):
    """A bound that takes E_q over draws.

    Args:
        num_samples: K, the draws in the Monte-Carlo mean for each datum.
    """

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__()
        require_positive("num_samples", num_samples)
        self.num_samples = num_samples


def log_weight_terms(
    at: Points,
    log_likelihood: Float[Tensor, "K B"],
    elbo: Float[Tensor, " B"],
) -> dict[str, Tensor]:
    """The terms of a bound made of log-weights.

    reconstruction = E_q[log p(x|z)], and kl = reconstruction - elbo, so that the Monte-Carlo KL
    has the same samples as everything else.
    """
    reconstruction = at.mean(log_likelihood)
    return {"elbo": elbo, "kl": reconstruction - elbo, "reconstruction": reconstruction}

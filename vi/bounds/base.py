"""Bounds of log p(x): the base class and the estimate that a bound returns."""

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

__all__ = ["Bound", "Estimate", "Need"]


@dataclass(frozen=True)
class Estimate:
    """Estimate of a bound for a batch, in nats per datum.

    Args:
        value: Estimate of the bound, (B,): reported and compared, never differentiated.
        surrogate: The quantity that is differentiated, (B,); where it differs from ``value``, only
            its gradient has a meaning.
        terms: Always ``elbo`` (the mean log-weight), ``kl`` and ``reconstruction``, with elbo =
            reconstruction - kl, (B,) each; a bound may add others.
    """

    value: Float[Tensor, " B"]
    surrogate: Float[Tensor, " B"]
    terms: dict[str, Float[Tensor, " B"]]


class Need(Enum):
    """Properties that a bound may require of q(z|x) and p(z)."""

    KL = "a closed-form KL(q || p)"
    LAYER_KL = "a closed-form KL of every layer"
    ENTROPY = "a closed-form entropy of q"
    DENSITY = "log q of its draws"
    DRAWS = "draws of q with a pathwise gradient, as a support is not summed over"


class Bound(Configurable, nn.Module, ABC):
    """Lower bound of log p(x), to be maximised.

    An implementer takes hyper-parameters in ``__init__`` and writes ``forward``, and sets
    ``needs``, ``is_elbo`` and ``is_mean_of_weights`` where the defaults do not hold. Checks of the
    data and ``at_step`` come for free.

    >>> import torch, vi
    >>> from vi.distributions.draw import draw
    >>> class MeanLogWeight(Bound):
    ...     def forward(self, model, x, **given):
    ...         at = draw(model.posterior(x, **given), num_samples=4)
    ...         log_joint, log_prior = model.log_joint_and_prior(x, at.z, **given)
    ...         elbo = at.mean(log_joint - at.log_q)
    ...         return Estimate(elbo, elbo, log_weight_terms(at, log_joint - log_prior, elbo))
    >>> model = vi.PPCA((4,), latent_dim=2)  # its posterior is exact
    >>> x = model.sample(5)
    >>> torch.allclose(MeanLogWeight()(model, x).value, model.log_evidence(x))
    True
    """

    warmup_steps: int = 0
    """Optimiser steps during which the objective changes; early stopping waits for their end."""
    needs: frozenset[Need] = frozenset()
    """Properties of q and p without which the bound raises an error."""
    is_elbo: bool = False
    """Whether the value is E_q[log p(x, z) - log q(z|x)] in expectation, for every K."""
    is_mean_of_weights: bool = False
    """Whether the value is a mean of log-weights, so that it is log p(x) if q is exact."""

    @property
    def title(self) -> str:
        """What it is called in tables and pictures."""
        return type(self).__name__

    @admitting
    def __call__(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Check the data (``vi.inputs``), then estimate the bound with ``forward``."""
        return super().__call__(model, x, **given)

    @abstractmethod
    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate the bound for a batch.

        Args:
            model: Model with p(x, z) and q(z|x).
            x: Data, (B, *event).
            **given: Variables that the model conditions on, such as ``context``, (B, ..).

        Returns:
            Value, surrogate and terms in nats, (B,) each.
        """

    def at_step(self, step: int) -> None:
        """Set the number of optimiser steps taken; called before each training step."""
        del step


class SampledBound(Bound):
    """Bound that estimates E_q from draws.

    Args:
        num_samples: K, the number of draws per datum.

    Raises:
        ConfigurationError: ``num_samples`` is not positive.
    """

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__()
        require_positive("num_samples", num_samples)
        self.num_samples = num_samples

    @property
    def title(self) -> str:
        """Its name and K, such as IWAE-50."""
        name = super().title
        return name if self.is_elbo else f"{name}-{self.num_samples}"


def log_weight_terms(
    at: Points,
    log_likelihood: Float[Tensor, "K B"],
    elbo: Float[Tensor, " B"],
) -> dict[str, Tensor]:
    """Return the terms of a bound that is made of log-weights.

    reconstruction = E_q[log p(x|z)], and kl = reconstruction - elbo, so that the Monte Carlo KL is
    estimated from the same samples as everything else.

    Args:
        at: Points that E_q is estimated from.
        log_likelihood: log p(x|z_k), (K, B).
        elbo: Mean log-weight, (B,).
    """
    reconstruction = at.mean(log_likelihood)
    return {"elbo": elbo, "kl": reconstruction - elbo, "reconstruction": reconstruction}

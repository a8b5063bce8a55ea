"""The role of a model: p(x, z | given) and q(z | x, given)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError, SupportMismatch, require_whole
from vi.inputs import admitting, as_it_is
from vi.math import Shape
from vi.models.spare import Spare
from vi.options import Option

# The methods of (x, **given) that look at x first, unless somebody has.
_READ_DATA = {
    "gap",
    "log_evidence",
    "log_joint",
    "log_joint_and_prior",
    "posterior",
    "statistics",
    "variational_parameters",
}


class LatentVariableModel(Option, nn.Module, ABC):
    """A joint distribution of data x and latents z, with a way to infer z from x.

    An implementer writes ``prior``, ``likelihood`` and ``posterior``, and sets ``data_shape`` (the
    event shape of x). Comes for free: ``log_joint``, ``sample``, ``encode``, ``reconstruct``.

    ``given`` holds whatever the model conditions on, by name (``context``: (B, C)); a model that
    conditions on nothing ignores it.
    """

    data_shape: Shape
    takes_missing = False
    """Whether it leaves out the entries of x where ``given["observed"]`` is False."""
    takes_doubles = False
    """Whether it reads data in double precision, so that they need not be cast before."""
    context_dim = 0
    """Width of ``given["context"]`` on which it conditions."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _READ_DATA & vars(cls).keys():
            setattr(cls, name, admitting(vars(cls)[name]))
        if "initialize" in vars(cls):  # from data that were looked at, NaN where one is missing
            cls.initialize = as_it_is()(cls.initialize)

    @abstractmethod
    def prior(self, **given: Tensor) -> Distribution:
        """p(z), with batch_shape () or (B,)."""

    @abstractmethod
    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) for z (K, B, *Z) or (B, *Z); its batch_shape is what precedes Z."""

    @abstractmethod
    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x) for x (B, *event), with batch_shape (B,)."""

    @admitting
    def log_joint(self, x: Tensor, z: Tensor, **given: Tensor) -> Tensor:
        """log p(x, z) = log p(x|z) + log p(z) in nats, (K, B) for z (K, B, *Z)."""
        return self.log_joint_and_prior(x, z, **given)[0]

    @admitting
    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and the log p(z) in it; a model with a faster way to both replaces this."""
        log_prior = self.prior(**given).log_prob(z)
        return self.likelihood(z, **given).log_prob(x) + log_prior, log_prior

    def variational_parameters(self, x: Tensor, **given: Tensor) -> Tensor:
        """lambda(x), (B, *P): what the encoder says of x, before it becomes a distribution.

        Raises:
            ConfigurationError: The model has no encoder.
        """
        del x, given
        raise self._no_encoder()

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """The q with variational parameters (B, *P).

        Raises:
            ConfigurationError: The model has no encoder.
        """
        del parameters
        raise self._no_encoder()

    def starting_parameters(self, like: Tensor) -> Tensor:
        """A lambda that knows nothing of x for each of these (B, *P): where a free q starts."""
        return torch.zeros_like(like)

    def posterior_parameters(self) -> list[nn.Parameter]:
        """Those of phi that ``posterior_at`` uses: what the q of all data share beside lambda."""
        return []

    def inference_parameters(self) -> list[nn.Parameter]:
        """phi, the parameters of q(z|x) alone: what an E-step moves. None if q is exact."""
        return []

    def generative_parameters(self) -> list[nn.Parameter]:
        """theta, all the others: what an M-step moves."""
        inference = {id(p) for p in self.inference_parameters()}
        return [p for p in self.parameters() if id(p) not in inference]

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Told training data (N, *event), all or many, before the first step of a fresh run.

        What is missing is NaN; ``given`` are the rows of what the model conditions on.
        """

    @property
    def units(self) -> dict[str, list[float]]:
        """The map from what networks see to the data, x = loc + scale * seen, for ``config.json``.

        It is for readers: the model itself keeps it among its weights. Empty where there is none.
        """
        return {}

    @torch.no_grad()
    def sample(self, n: int, **given: Tensor) -> Tensor:
        """n draws x ~ p(x|z), z ~ p(z): (n, *event).

        Raises:
            ConfigurationError: n is no number of draws.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).sample()

    @torch.no_grad()
    def sample_mean(self, n: int, **given: Tensor) -> Tensor:
        """n means E[x|z] with z ~ p(z): (n, *event); what is usually shown as samples.

        Raises:
            ConfigurationError: n is no number of means.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).mean

    @admitting
    @torch.no_grad()
    def encode(self, x: Tensor, **given: Tensor) -> Tensor:
        """E_q[z] for each datum: (B, *Z)."""
        return self.posterior(x, **given).mean

    @admitting
    @torch.no_grad()
    def reconstruct(self, x: Tensor, **given: Tensor) -> Tensor:
        """E[x'|z] at z = E_q[z]: (B, *event)."""
        return self.likelihood(self.encode(x, **given), **given).mean

    def _no_encoder(self) -> ConfigurationError:
        return ConfigurationError(
            f"{type(self).__name__} has no encoder",
            hint="model=vae has one, and model=amortized gives one to an exact model",
        )

    def _sample_prior(self, n: int, **given: Tensor) -> Tensor:
        n = require_whole("n", n)
        p = self.prior(**given)
        return p.sample() if p.batch_shape else p.sample((n,))


@dataclass(frozen=True)
class Statistics:
    """Expected sufficient statistics under q: sums over data, so that they add up.

    Args:
        sums: By name; always ``count``, the number of data, and ``entropy``, the sum of H(q).

    >>> one = Statistics({"count": torch.tensor(2.0), "entropy": torch.tensor(0.5)})
    >>> (one + one - one)["count"]
    tensor(2.)
    """

    sums: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.sums[name]

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics({k: v + other.sums[k] for k, v in self.sums.items()})

    def __sub__(self, other: "Statistics") -> "Statistics":
        return Statistics({k: v - other.sums[k] for k, v in self.sums.items()})


Complete = Callable[[Distribution], Distribution]
"""What a scheme makes of the posterior: the q of its E-step."""


class ExactModel(LatentVariableModel):
    """A model whose posterior, evidence and M-step have closed forms.

    An implementer writes ``prior``, ``likelihood``, ``posterior`` (the true one) and
    ``log_evidence``; and for EM ``statistics``, ``energy`` and ``m_step``. Comes for free:
    ``e_step`` and ``free_energy``, and everything of a ``LatentVariableModel``.

    Exact models compute in double precision: the rise of their objective, which is watched while
    they train, is smaller than the rounding of single precision long before they converge. Their
    data are flat, ``data_shape`` is (D,).
    """

    takes_doubles = True

    @abstractmethod
    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """log p(x) in nats."""

    @abstractmethod
    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """The expected sufficient statistics of (x, z) with z ~ q, summed over the batch.

        Args:
            x: (B, D).
            q: batch_shape (B,), of the family of ``posterior``, or all mass on one point; only
                ``mean``, ``entropy()`` and, for continuous z, ``covariance_matrix`` are asked for.
            **given: What the model conditions on.
        """

    @abstractmethod
    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """sum_n E_q[log p(x_n, z_n | theta)] at the present theta, in nats."""

    @abstractmethod
    def m_step(self, statistics: Statistics) -> None:
        """Set theta to the maximum of ``energy`` + ``log_prior``.

        Raises:
            NumericsError: The maximum does not exist, such as a singular covariance.
        """

    def initialize_for(self, x: Tensor, complete: Complete, **given: Tensor) -> None:
        """As ``initialize``, for a scheme whose E-step has ``complete(posterior)`` as its q."""
        del complete
        self.initialize(x, **given)

    def spare(
        self, x: Tensor, q: Distribution, sofar: Statistics, before: Spare | None
    ) -> Spare | None:
        """Data to refill components with, if the q of a batch has its mass on single points.

        Args:
            x: The batch.
            q: Its q.
            sofar: The statistics of this batch and of those before it.
            before: What those could spare.
        """
        del x, q, sofar
        return before

    def m_step_refilled(self, statistics: Statistics, spare: Spare | None) -> Statistics:
        """The M-step, before which what was spared may go to a component without data.

        Returns:
            The statistics after that; the objective is not below that of the ones given.
        """
        del spare
        self.m_step(statistics)
        return statistics

    def reduce(self, statistics: Statistics) -> Statistics:
        """Take a step that EM lacks, after the M-step: parameter expansion.

        Returns:
            The statistics after it; the objective is not below that of the ones given.
        """
        return statistics

    def leave_saddle(self, statistics: Statistics) -> bool:
        """Move to a greater objective where that of EM has stopped rising, if there is a way.

        Args:
            statistics: Of the exact posterior at the present theta.

        Returns:
            Whether theta has moved.
        """
        del statistics
        return False

    def rounding(self, statistics: Statistics) -> float:
        """How far rounding may move the energy at the present theta, in nats, beyond its size."""
        del statistics
        return 0.0

    def log_prior(self) -> Float[Tensor, ""]:
        """log p(theta) up to a constant, in nats; 0 for maximum likelihood."""
        return torch.zeros((), dtype=torch.float64)

    @admitting
    def e_step(self, x: Tensor, **given: Tensor) -> Statistics:
        """The statistics under the exact posterior."""
        return self.statistics(x, self.posterior(x, **given), **given)

    def free_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """F(q, theta) = sum_n E_q[log p(x_n, z_n)] + H(q_n); log p(x) under the exact posterior.

        Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
        """
        return self.energy(statistics) + statistics["entropy"]


def require_same_latent(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    """Refuse a q(z|x) over another space than that of p(z).

    Raises:
        ConfigurationError: Their event shapes or supports differ.
    """
    _require_same_support(posterior, prior)
    if posterior.event_shape != prior.event_shape:
        raise ConfigurationError(
            f"posterior has latent shape {tuple(posterior.event_shape)}, "
            f"prior has {tuple(prior.event_shape)}",
            hint="give both the same latent_dim",
        )


def _require_same_support(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    q, p = support_name(posterior.support), support_name(prior.support)
    if q != p:
        raise SupportMismatch(
            f"posterior {type(posterior).__name__} lives on {q}, "
            f"prior {type(prior).__name__} on {p}",
            hint="choose a posterior and a prior with the same support",
            supports=(q, p),
        )


def support_name(support: Constraint | None) -> str:
    """The support of one entry of the event, by name.

    >>> from torch.distributions import constraints
    >>> support_name(constraints.real_vector)
    'Real'
    """
    return str(getattr(support, "base_constraint", support)).removesuffix("()")

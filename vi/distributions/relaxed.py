"""Continuous relaxations of discrete variables."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from vi.distributions.discrete import bits, categories, gumbel, largest
from vi.distributions.kl import closed_form_kl
from vi.distributions.protocols import StandIn
from vi.errors import ConfigurationError
from vi.math import Shape


class Relaxed(StandIn, Distribution):
    """Discrete q whose ``rsample`` returns a relaxed z that is differentiable in the logits.

    The mean, the variance, ``sample`` and the KL to a prior are those of the discrete q. A relaxed
    z has no probability under the discrete q, so ``log_prob`` and ``entropy`` raise an error. The
    density of the relaxed z would be no substitute: compared with a discrete prior it bounds
    nothing.

    An implementer writes ``soft`` and ``rounded``.

    Args:
        discrete: The distribution that is relaxed.
        logits: Logits of ``discrete``, (*batch, *event).
        temperature: tau > 0; towards 0 a relaxed z becomes discrete and the variance of its
            gradient grows.
        hard: Whether ``rsample`` rounds z and keeps the gradient of the relaxed z
            (straight-through estimator).

    Reference: Maddison, Mnih and Teh, 2017, https://arxiv.org/abs/1611.00712; Jang, Gu and Poole,
    2017, https://arxiv.org/abs/1611.01144
    """

    arg_constraints = {}  # pyright: ignore
    has_rsample = True

    def __init__(
        self, discrete: Distribution, logits: Tensor, temperature: float, *, hard: bool = False
    ) -> None:
        super().__init__(discrete.batch_shape, discrete.event_shape, validate_args=False)
        self.discrete, self.logits = discrete, logits
        self.temperature, self.hard = temperature, hard

    @abstractmethod
    def soft(self, shape: torch.Size) -> Tensor:
        """Draw relaxed z of this shape, with entries in [0, 1]."""

    @abstractmethod
    def rounded(self, z: Tensor) -> Tensor:
        """Return the discrete state nearest to a relaxed z.

        Rounded draws are distributed as ``discrete``.
        """

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw z in [0, 1] with a gradient in the logits, (*sample_shape, *batch, *event)."""
        z = self.soft(self._extended_shape(torch.Size(sample_shape)))
        return self.rounded(z.detach()) + (z - z.detach()) if self.hard else z

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw from the discrete q, (*sample_shape, *batch, *event)."""
        return self.discrete.sample(torch.Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Mean of the discrete q, (*batch, *event)."""
        return self.discrete.mean

    @property
    def variance(self) -> Tensor:
        """Variance of the discrete q, (*batch, *event)."""
        return self.discrete.variance

    def log_prob(self, value: Tensor) -> Tensor:
        """Raise an error: a relaxed z has no probability under the discrete q.

        Raises:
            ConfigurationError: Always.
        """
        raise _no_density()

    def entropy(self) -> Tensor:
        """Raise an error: relaxed draws have no entropy under the discrete q.

        Raises:
            ConfigurationError: Always.
        """
        raise _no_density()


class RelaxedBits(Relaxed):
    """Relaxed bits z_d = sigmoid((l_d + noise) / tau) with logistic noise.

    Args:
        logits: l, (*batch, Z).
        temperature: tau > 0.
        hard: Whether draws are rounded, with the gradient of the relaxed z.

    >>> RelaxedBits(torch.tensor([30.0, -30.0]), temperature=0.5).rsample().round()
    tensor([1., 0.])
    """

    def __init__(self, logits: Tensor, temperature: float, *, hard: bool = False) -> None:
        super().__init__(bits(logits), logits, temperature, hard=hard)

    def soft(self, shape: torch.Size) -> Tensor:
        """Draw sigmoid((l + noise) / tau) of this shape."""
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        noise = uniform.logit_(eps=torch.finfo(uniform.dtype).tiny)
        return ((self.logits + noise) / self.temperature).sigmoid()

    def rounded(self, z: Tensor) -> Tensor:
        """Return 1 where z > 1/2, else 0."""
        return (z > 0.5).to(z.dtype)


class RelaxedCategories(Relaxed):
    """Relaxed one-hot variables z = softmax((l + noise) / tau) with Gumbel noise.

    Args:
        logits: l, (*batch, *event).
        event_shape: (C,), or (N, C) for N variables.
        temperature: tau > 0.
        hard: Whether draws are rounded, with the gradient of the relaxed z.

    >>> q = RelaxedCategories(torch.tensor([50.0, 0.0, 0.0]), (3,), temperature=0.5)
    >>> q.rsample().round(), q.discrete.log_prob(torch.eye(3)[1])
    (tensor([1., 0., 0.]), tensor(-50.))
    """

    def __init__(
        self, logits: Tensor, event_shape: Shape, temperature: float, *, hard: bool = False
    ) -> None:
        super().__init__(categories(logits, event_shape), logits, temperature, hard=hard)

    def soft(self, shape: torch.Size) -> Tensor:
        """Draw softmax((l + noise) / tau) of this shape."""
        scores = (self.logits + gumbel(shape, self.logits)) / self.temperature
        return _above_zero(scores.softmax(-1))

    def rounded(self, z: Tensor) -> Tensor:
        """Return the one-hot vector of the largest entry."""
        return _above_zero(largest(z))


def _above_zero(z: Tensor) -> Tensor:
    """Keep every entry above 0, so that log z, which mixtures compute, has a gradient."""
    return z + torch.finfo(z.dtype).tiny


def _no_density() -> ConfigurationError:
    """Return the error for a log-density or entropy of relaxed draws."""
    return ConfigurationError(
        "a relaxed z has no probability under the discrete q(z|x) that it replaces",
        hint="bound=elbo uses the KL of the discrete q and needs no log q; in Python, "
        "model.eval() makes q discrete",
    )


@register_kl(Relaxed, Distribution)
def _kl_relaxed(q: Relaxed, p: Distribution) -> Tensor:
    """Return the KL of the discrete q in nats."""
    return closed_form_kl(q.discrete, p)

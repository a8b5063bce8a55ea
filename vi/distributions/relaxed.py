"""Continuous stand-ins for discrete variables."""

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
    """A discrete q whose ``rsample`` gives a relaxed z, differentiable in the logits.

    Mean, variance, ``sample`` and the KL to a prior are those of the discrete q. A relaxed z has
    no probability under it, so ``log_prob`` and ``entropy`` are refused: with the density of the
    relaxed z instead, a bound against a discrete prior would bound nothing.

    An implementer writes ``soft`` and ``rounded``.

    Args:
        discrete: What it stands for.
        logits: Of ``discrete``, (*batch, *event).
        temperature: tau > 0; towards 0 a relaxed z becomes discrete, and its gradient wild.
        hard: z is rounded, with the gradient of the relaxed z (straight-through).

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
        """Relaxed z of this shape."""

    @abstractmethod
    def rounded(self, z: Tensor) -> Tensor:
        """The discrete state next to a relaxed z; of draws, draws from ``discrete``."""

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch, *event), with entries in [0, 1]."""
        z = self.soft(self._extended_shape(torch.Size(sample_shape)))
        return self.rounded(z.detach()) + (z - z.detach()) if self.hard else z

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Of the discrete q."""
        return self.discrete.sample(torch.Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Of the discrete q."""
        return self.discrete.mean

    @property
    def variance(self) -> Tensor:
        """Of the discrete q."""
        return self.discrete.variance

    def log_prob(self, value: Tensor) -> Tensor:
        """Refused.

        Raises:
            ConfigurationError: Always.
        """
        raise _no_density()

    def entropy(self) -> Tensor:
        """Refused.

        Raises:
            ConfigurationError: Always.
        """
        raise _no_density()


class RelaxedBits(Relaxed):
    """z_d = sigmoid((l_d + noise) / tau) with logistic noise, for bits with these logits.

    Args:
        logits: l, (*batch, Z).
        temperature: tau > 0.
        hard: See ``Relaxed``.

    >>> RelaxedBits(torch.tensor([30.0, -30.0]), temperature=0.5).rsample().round()
    tensor([1., 0.])
    """

    def __init__(self, logits: Tensor, temperature: float, *, hard: bool = False) -> None:
        super().__init__(bits(logits), logits, temperature, hard=hard)

    def soft(self, shape: torch.Size) -> Tensor:
        """See ``Relaxed``."""
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        noise = uniform.logit_(eps=torch.finfo(uniform.dtype).tiny)
        return ((self.logits + noise) / self.temperature).sigmoid()

    def rounded(self, z: Tensor) -> Tensor:
        """See ``Relaxed``."""
        return (z > 0.5).to(z.dtype)


class RelaxedCategories(Relaxed):
    """z = softmax((l + noise) / tau) with Gumbel noise, for one-hot z with these logits.

    Args:
        logits: l, (*batch, *event).
        event_shape: (C,), or (N, C) for N variables.
        temperature: tau > 0.
        hard: See ``Relaxed``.

    >>> q = RelaxedCategories(torch.tensor([50.0, 0.0, 0.0]), (3,), temperature=0.5)
    >>> q.rsample().round(), q.discrete.log_prob(torch.eye(3)[1])
    (tensor([1., 0., 0.]), tensor(-50.))
    """

    def __init__(
        self, logits: Tensor, event_shape: Shape, temperature: float, *, hard: bool = False
    ) -> None:
        super().__init__(categories(logits, event_shape), logits, temperature, hard=hard)

    def soft(self, shape: torch.Size) -> Tensor:
        """See ``Relaxed``."""
        scores = (self.logits + gumbel(shape, self.logits)) / self.temperature
        return _above_zero(scores.softmax(-1))

    def rounded(self, z: Tensor) -> Tensor:
        """See ``Relaxed``."""
        return _above_zero(largest(z))


def _above_zero(z: Tensor) -> Tensor:
    """No entry is 0, so that log z, which mixtures take, has a gradient."""
    return z + torch.finfo(z.dtype).tiny


def _no_density() -> ConfigurationError:
    return ConfigurationError(
        "a relaxed z has no probability under the discrete q(z|x) that it stands for",
        hint="bound=elbo takes the KL of the discrete q and needs none; in Python model.eval() "
        "gives the discrete q itself",
    )


@register_kl(Relaxed, Distribution)
def _kl_relaxed(q: Relaxed, p: Distribution) -> Tensor:
    """Of the discrete q."""
    return closed_form_kl(q.discrete, p)

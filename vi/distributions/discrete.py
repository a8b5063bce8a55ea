"""Independent discrete variables, whose joint states can be listed where they are few."""

import math

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    OneHotCategorical,
    register_kl,
)
from torch.nn.functional import logsigmoid

from vi.errors import require_positive
from vi.math import Shape

_MOST_STATES = 1024


class Discrete(Independent):
    """Independent variables of equally many values: up to 1024 joint states can be listed.

    Then ``has_enumerate_support`` is true, and a bound sums over z; with more states it is not.

    >>> z = bits(torch.zeros(5, 3)).enumerate_support(expand=False)
    >>> z.shape, z[[0, 1, 7], 0]
    (torch.Size([8, 1, 3]), tensor([[0., 0., 0.],
            [0., 0., 1.],
            [1., 1., 1.]]))
    """

    @property
    def num_states(self) -> int:
        """C^N of N variables with C values each."""
        return self._num_values**self._num_variables

    @property
    def has_enumerate_support(self) -> bool:
        """Whether there are at most 1024 states."""
        return self.num_states <= _MOST_STATES

    def enumerate_support(self, expand: bool = True) -> Tensor:  # noqa: FBT001, FBT002, torch's
        """All states, (S, *batch, *event); the last variable changes first.

        Args:
            expand: If not, the axes of the batch have size 1.

        Raises:
            NotImplementedError: There are too many.
        """
        if not self.has_enumerate_support:
            raise NotImplementedError(f"{self.num_states} states are too many to list")
        values = self.base_dist.enumerate_support(expand=False)
        values = values.reshape(-1, *self.base_dist.event_shape)
        place = torch.arange(self._num_variables - 1, -1, -1, device=values.device)
        state = torch.arange(self.num_states, device=values.device)
        digits = state[:, None] // self._num_values**place % self._num_values
        batch = self.batch_shape if expand else [1] * len(self.batch_shape)
        z = values[digits].reshape(-1, *[1] * len(self.batch_shape), *self.event_shape)
        return z.expand(-1, *batch, *self.event_shape)

    @property
    def _num_values(self) -> int:
        return self.base_dist.event_shape[-1] if self.base_dist.event_shape else 2

    @property
    def _num_variables(self) -> int:
        return math.prod(self.event_shape[: self.reinterpreted_batch_ndims])


def bits(logits: Tensor) -> Discrete:
    """z in {0, 1}^Z with log p_d / (1 - p_d) = logits, (*batch, Z).

    >>> bits(torch.zeros(2)).log_prob(torch.ones(2))
    tensor(-1.3863)
    """
    return Discrete(_Bit(logits=logits, validate_args=False), 1)


def categories(logits: Tensor, event_shape: Shape) -> Distribution:
    """z one-hot (C,), or (N, C) for N variables, with log p = logits + const, (*batch, *event).

    >>> categories(torch.zeros(3, 4), (3, 4)).log_prob(torch.eye(4)[:3])
    tensor(-4.1589)
    """
    z = _OneHot(logits)
    rank = len(event_shape) - 1
    return Discrete(z, rank) if rank else z


def categorical_shape(num_categories: int, num_variables: int) -> Shape:
    """The event of so many one-hot variables: (C,) of one, else (N, C).

    Raises:
        ConfigurationError: No category, or no variable.
    """
    require_positive("num_categories", num_categories)
    require_positive("num_variables", num_variables)
    return (num_categories,) if num_variables == 1 else (num_variables, num_categories)


def gumbel(shape: Shape, like: Tensor) -> Tensor:
    """-log E with E ~ Exp(1), in the precision and on the device of ``like``.

    argmax(logits + gumbel) is a draw from the softmax of the logits.
    """
    # An exponential draw can be 0 in single precision, and then its logarithm is not finite.
    exponential = like.detach().new_empty(shape).exponential_()
    return exponential.clamp_min_(torch.finfo(like.dtype).tiny).log_().neg_()


def largest(scores: Tensor) -> Tensor:
    """One where the last axis is largest, 0 elsewhere.

    >>> largest(torch.tensor([0.2, 0.5, 0.3]))
    tensor([0., 1., 0.])
    """
    return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)


class _Bit(Bernoulli):
    """torch's, with a KL that stays finite and waits for no device."""


class _OneHot(OneHotCategorical):
    """torch's, without a check of the arguments; its noise has the shape of z."""

    def __init__(self, logits: Tensor) -> None:
        self._categorical = Categorical(logits=logits, validate_args=False)
        shape = logits.shape
        Distribution.__init__(self, shape[:-1], shape[-1:], validate_args=False)

    def expand(self, batch_shape: Shape, _instance: None = None) -> "_OneHot":
        return _OneHot(self.logits.expand(*batch_shape, *self.event_shape))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            return largest(self.logits + gumbel(shape, self.logits))


@register_kl(_Bit, Bernoulli)
def _kl_bit(q: Bernoulli, p: Bernoulli) -> Tensor:
    """sum_z q(z) (log q(z) - log p(z)), each term without cancellation."""
    terms = []
    for sign in (1, -1):
        log_q, log_p = logsigmoid(sign * q.logits), logsigmoid(sign * p.logits)
        terms.append(log_q.exp() * (log_q - log_p))
    return terms[0] + terms[1]


@register_kl(_OneHot, OneHotCategorical)
def _kl_one_hot(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    """sum_c q_c (log q_c - log p_c); torch's own is infinite where exp underflows."""
    return (q.probs * (q.logits - p.logits)).sum(-1)

"""Independent discrete variables, whose joint states can be enumerated if they are few."""

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
"""The largest number of joint states that is enumerated."""


class Discrete(Independent):
    """Independent discrete variables with the same number of values.

    Up to 1024 joint states, ``has_enumerate_support`` is true and a bound sums over z exactly;
    with more states it samples.

    >>> z = bits(torch.zeros(5, 3)).enumerate_support(expand=False)
    >>> z.shape, z[[0, 1, 7], 0]
    (torch.Size([8, 1, 3]), tensor([[0., 0., 0.],
            [0., 0., 1.],
            [1., 1., 1.]]))
    """

    @property
    def num_states(self) -> int:
        """Number of joint states, C^N for N variables with C values each."""
        return self._num_values**self._num_variables

    @property
    def has_enumerate_support(self) -> bool:
        """Whether there are at most 1024 joint states."""
        return self.num_states <= _MOST_STATES

    def enumerate_support(self, expand: bool = True) -> Tensor:  # noqa: FBT001, FBT002, torch's
        """Return all joint states, (S, *batch, *event); the last variable changes fastest.

        Args:
            expand: If false, the batch axes have size 1.

        Raises:
            NotImplementedError: There are more than 1024 states.
        """
        if not self.has_enumerate_support:
            raise NotImplementedError(f"{self.num_states} states are too many to list")
        batch = self.batch_shape if expand else [1] * len(self.batch_shape)
        return self.states().expand(-1, *batch, *self.event_shape)

    def states(self) -> Tensor:
        """Return all joint states, however many, (S, *1, *event)."""
        values = self.base_dist.enumerate_support(expand=False)
        values = values.reshape(-1, *self.base_dist.event_shape)
        place = torch.arange(self._num_variables - 1, -1, -1, device=values.device)
        state = torch.arange(self.num_states, device=values.device)
        digits = state[:, None] // self._num_values**place % self._num_values
        return values[digits].reshape(-1, *[1] * len(self.batch_shape), *self.event_shape)

    @property
    def _num_values(self) -> int:
        return self.base_dist.event_shape[-1] if self.base_dist.event_shape else 2

    @property
    def _num_variables(self) -> int:
        return math.prod(self.event_shape[: self.reinterpreted_batch_ndims])


def joint_states(p: Distribution, most: int) -> Tensor | None:
    """Return all states of a discrete variable, (S, 1, *event).

    Args:
        p: Its distribution, with batch_shape () or (B,).
        most: The largest number of states to list; None is returned if there are more, or if p
            cannot list its states.

    >>> joint_states(bits(torch.zeros(3)), most=10).shape, joint_states(bits(torch.zeros(9)), 10)
    (torch.Size([8, 1, 3]), None)
    """
    if isinstance(p, Discrete):
        states = p.states() if p.num_states <= most else None
    else:
        states = p.enumerate_support(expand=False) if p.has_enumerate_support else None
    if states is None or len(states) > most:
        return None
    return states.reshape(-1, 1, *p.event_shape)


def bits(logits: Tensor) -> Discrete:
    """Return independent bits z in {0, 1}^Z.

    Args:
        logits: log p_d / (1 - p_d), (*batch, Z).

    >>> bits(torch.zeros(2)).log_prob(torch.ones(2))
    tensor(-1.3863)
    """
    return Discrete(_Bit(logits=logits, validate_args=False), 1)


def categories(logits: Tensor, event_shape: Shape) -> Distribution:
    """Return one-hot variables: z of shape (C,) for one variable, (N, C) for several.

    Args:
        logits: log p up to a constant for each variable, (*batch, *event_shape).
        event_shape: (C,) or (N, C).

    >>> categories(torch.zeros(3, 4), (3, 4)).log_prob(torch.eye(4)[:3])
    tensor(-4.1589)
    """
    z = _OneHot(logits)
    rank = len(event_shape) - 1
    return Discrete(z, rank) if rank else z


def categorical_shape(num_categories: int, num_variables: int) -> Shape:
    """Return the event shape of one-hot variables: (C,) for one, (N, C) for several.

    Args:
        num_categories: C.
        num_variables: N.

    Raises:
        ConfigurationError: A number is not positive.

    >>> categorical_shape(4, 1), categorical_shape(4, 3)
    ((4,), (3, 4))
    """
    require_positive("num_categories", num_categories)
    require_positive("num_variables", num_variables)
    return (num_categories,) if num_variables == 1 else (num_variables, num_categories)


def gumbel(shape: Shape, like: Tensor) -> Tensor:
    """Return standard Gumbel noise, -log E with E ~ Exp(1).

    argmax(logits + gumbel) is a draw from softmax(logits).

    Args:
        shape: Shape of the noise.
        like: Tensor whose precision and device the noise takes.
    """
    # An exponential draw can be 0 in single precision, where its logarithm is not finite.
    exponential = like.detach().new_empty(shape).exponential_()
    return exponential.clamp_min_(torch.finfo(like.dtype).tiny).log_().neg_()


def largest(scores: Tensor) -> Tensor:
    """Return the one-hot vector of the largest entry along the last axis.

    >>> largest(torch.tensor([0.2, 0.5, 0.3]))
    tensor([0., 1., 0.])
    """
    return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)


class _Bit(Bernoulli):
    """torch's Bernoulli, with a KL that stays finite and does not synchronise with the device."""


class _OneHot(OneHotCategorical):
    """torch's one-hot variable without argument checks; its noise has the shape of z."""

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
    """Return sum_z q(z) (log q(z) - log p(z)) over both values, without cancellation."""
    terms = []
    for sign in (1, -1):
        log_q, log_p = logsigmoid(sign * q.logits), logsigmoid(sign * p.logits)
        terms.append(log_q.exp() * (log_q - log_p))
    return terms[0] + terms[1]


@register_kl(_OneHot, OneHotCategorical)
def _kl_one_hot(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    """Return sum_c q_c (log q_c - log p_c); torch's own is infinite where exp underflows."""
    return (q.probs * (q.logits - p.logits)).sum(-1)

"""Distributions as products over the entries of their event, and the values of one entry."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions.constraints import Constraint

from vi.distributions.channels import ChannelsFirst
from vi.distributions.observed import Observed
from vi.distributions.protocols import Autoregressive


class Entries(NamedTuple):
    """log p(x) = sum_d log p(x_d | ..), term by term.

    Args:
        log_prob: x (.., *batch, *event) -> the terms, one for each entry, (.., *batch, *event).
        whole: The distribution of all entries.
    """

    log_prob: Callable[[Tensor], Tensor]
    whole: Distribution


def entries_of(p: Distribution) -> Entries | None:
    """Return the terms of a distribution; None if it does not say how it factorises."""
    if isinstance(p, Autoregressive):
        return Entries(p.log_prob_entries, p)
    if isinstance(p, Independent) and not p.base_dist.event_shape:
        return Entries(p.base_dist.log_prob, p)
    return None


def unwrapped(p: Distribution) -> Distribution:
    """Return the distribution over all entries, below wrappers that only select or move them."""
    if isinstance(p, Observed):
        return unwrapped(p.whole)
    return unwrapped(p.pixels) if isinstance(p, ChannelsFirst) else p


def support_of(p: Distribution, known: Constraint | None) -> Constraint | None:
    """Return the support of one entry, or of the whole event, as far as anyone knows it."""
    support = known
    if support is None:
        try:
            support = p.support  # pyright: ignore
        except (NotImplementedError, AttributeError):
            return None
    return getattr(support, "base_constraint", support)


class Vectors(Distribution):
    """The same distributions over events with one axis, which take values in any precision.

    Args:
        p: Distribution with event_shape () or (D,).
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, p: Distribution) -> None:
        self.p, self.single = p, not p.event_shape
        event = torch.Size([1]) if self.single else p.event_shape
        super().__init__(p.batch_shape, event, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean, (*batch, D)."""
        return self.p.mean.unsqueeze(-1) if self.single else self.p.mean

    @property
    def variance(self) -> Tensor:
        """Variance, (*batch, D)."""
        return self.p.variance.unsqueeze(-1) if self.single else self.p.variance

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p in nats, (*batch)."""
        value = value.to(self.mean.dtype)
        return self.p.log_prob(value.squeeze(-1) if self.single else value)

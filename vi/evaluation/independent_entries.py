"""Baselines of imputation: models without a latent, whose entries are independent."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor

Blocks = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Iterates over training data x (B, *event) and observed (B, *event), from the start each call."""


class IndependentEntries(ABC):
    """A model p(x) = prod_d p_d(x_d), with each p_d fitted to the data in which d is observed.

    An implementer writes ``log_prob``. A latent-variable model should predict held-out entries
    better than this baseline, as it can use the observed entries.
    """

    @abstractmethod
    def log_prob(self, x: Float[Tensor, " B *event"]) -> Float[Tensor, " B *event"]:
        """Return log p_d(x_d) in nats for every entry of x (B, *event)."""


class EntryFrequencies(IndependentEntries):
    """p_d(v) = (n_dv + 1) / (n_d + V), with n_dv the count of value v at entry d.

    V is the number of distinct values over all entries, and n_d = sum_v n_dv. A value that no
    entry of the training data takes gets the probability of a value with count 0.

    Args:
        blocks: The training data.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> EntryFrequencies(lambda: [(x, x >= 0)]).log_prob(x).exp()
    tensor([[0.7500, 0.5000],
            [0.7500, 0.5000]], dtype=torch.float64)
    """

    def __init__(self, blocks: Blocks) -> None:
        seen = [x[observed].unique() for x, observed in blocks()]
        self.values = torch.cat(seen).unique()
        self.counts = reduce(add, (self._count(*block) for block in blocks()))

    def log_prob(self, x: Float[Tensor, " B *event"]) -> Float[Tensor, " B *event"]:
        """Return log p_d(x_d) in nats, (B, *event), float64."""
        index, known = self._index(x.flatten(1))
        of_value = self.counts.expand(len(x), -1, -1).gather(2, index[..., None]).squeeze(2)
        n = self.counts.sum(-1)
        p = (of_value * known + 1) / (n + len(self.values)).double()
        return p.log().view(x.shape)

    def _count(self, x: Tensor, observed: Tensor) -> Tensor:
        """Return the counts n_dv, (D, V)."""
        index, _ = self._index(x.flatten(1))
        entry = torch.arange(index.shape[1], device=x.device) * len(self.values)
        where = (entry + index)[observed.flatten(1)]
        flat = where.bincount(minlength=index.shape[1] * len(self.values))
        return flat.view(index.shape[1], -1)

    def _index(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the position of each entry in ``values``, and whether it is one of them."""
        index = torch.searchsorted(self.values, x.contiguous()).clamp_max(len(self.values) - 1)
        return index, self.values[index] == x


class EntryGaussians(IndependentEntries):
    """p_d = N(mean_d, sd_d^2) of the training data; sd_d = 1 for a constant entry.

    Args:
        blocks: The training data.

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> EntryGaussians(lambda: [(x, x > 0)]).loc
    tensor([2.], dtype=torch.float64)
    """

    def __init__(self, blocks: Blocks) -> None:
        self.loc = _mean(blocks, lambda x: x)
        scale = _mean(blocks, lambda x: (x - self.loc).square()).sqrt()
        self.scale = scale.where(scale > 0, torch.ones_like(scale))

    def log_prob(self, x: Float[Tensor, " B *event"]) -> Float[Tensor, " B *event"]:
        """Return log p_d(x_d) in nats, (B, *event), float64."""
        return torch.distributions.Normal(self.loc, self.scale, validate_args=False).log_prob(x)


def _mean(blocks: Blocks, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of ``of(x)`` over the data in which an entry is observed, in float64."""
    sums = (of(x.double()).where(observed, 0.0).sum(0) for x, observed in blocks())
    counts = (observed.sum(0) for _, observed in blocks())
    return reduce(add, sums) / reduce(add, counts)

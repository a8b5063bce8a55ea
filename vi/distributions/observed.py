"""Marginals over the observed entries of x: missing entries drop out of the likelihood."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.distributions.affine import Affine
from vi.distributions.protocols import CostlyMean
from vi.errors import ConfigurationError
from vi.math import Shape


class Observed(Distribution):
    """Marginal p(x_observed | z) = prod_{d observed} p(x_d|z), for entries independent given z.

    Only ``log_prob`` is restricted to observed entries; ``mean``, ``variance`` and ``sample``
    cover all of them.

    Args:
        whole: p(x|z), with batch_shape (*batch).
        observed: True where an entry of x is known; broadcasts to (*batch, *event).

    Raises:
        ConfigurationError: The entries of x are not independent given z.

    >>> from torch.distributions import Normal
    >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
    >>> Observed(p, torch.tensor([True, False])).log_prob(torch.tensor([0.0, torch.nan]))
    tensor(-0.9189)
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, whole: Distribution, observed: Tensor) -> None:
        super().__init__(whole.batch_shape, whole.event_shape, validate_args=False)
        if not isinstance(whole, Independent) or whole.base_dist.event_shape:
            raise ConfigurationError(
                f"{type(whole).__name__} has no independent entries that could be missing",
                hint="choose a likelihood whose entries are independent given z",
            )
        self.whole, self.observed = whole, observed

    @property
    def mean(self) -> Tensor:
        """Mean of all entries, (*batch, *event)."""
        return self.whole.mean

    @property
    def variance(self) -> Tensor:
        """Variance of all entries, (*batch, *event)."""
        return self.whole.variance

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw all entries, (*sample_shape, *batch, *event)."""
        return self.whole.sample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the sum of log p(x_d|z) over the observed entries in nats, (*batch).

        Args:
            value: x; the values of missing entries have no effect.
        """
        entries: Distribution = self.whole.base_dist  # pyright: ignore
        log_p = _log_prob(entries, value, self.observed)
        log_p = log_p.where(self.observed, log_p.new_zeros(()))
        rank = self.whole.reinterpreted_batch_ndims  # pyright: ignore
        return log_p.sum(tuple(range(-rank, 0))) if rank else log_p


def _log_prob(entries: Distribution, value: Tensor, observed: Tensor) -> Tensor:
    """Return log p of each entry; missing entries get a value whose gradient is finite.

    A NaN there would reach the parameters even though its log-density is masked afterwards.
    """
    if isinstance(entries, Affine):
        return _log_prob(entries.base, entries.within(value), observed) - entries.log_scale
    return entries.log_prob(torch.where(observed, value, _inside(entries)))


def _inside(entries: Distribution) -> Tensor | float:
    """Return a value at which the log-density has a finite gradient."""
    inside = entries.inside if isinstance(entries, CostlyMean) else None
    return entries.mean.detach() if inside is None else inside

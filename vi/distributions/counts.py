"""Counts: the Poisson family, and what its rates are multiplied with.

Terms of the size x log x cancel to a few nats here, at counts of a million down to the last digit
of single precision; so the log-densities are computed in double precision and given back in that
of the parameters.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.distributions.gamma import _standard_gamma
from torch.nn.functional import logsigmoid

from vi.distributions.moments import known
from vi.distributions.protocols import Exposable
from vi.math import Shape

_MOST = 30.0  # of a log rate as it is
_DISPERSIONS = (1e-2, 1e2)  # where training may start


class Counts(Exposable, Distribution, ABC):
    """An entry 0, 1, 2, .. whose mean is proportional to an exposure.

    An implementer writes ``mean``, ``variance``, ``sample``, ``log_prob`` and ``exposed``.
    """

    arg_constraints = {}  # pyright: ignore
    support = constraints.nonnegative_integer  # pyright: ignore

    @abstractmethod
    def exposed(self, log_exposure: Tensor) -> "Counts":
        """The same with its mean times exp(log_exposure), which broadcasts to batch_shape."""


def exposed(p: Distribution, exposure: Tensor) -> Distribution:
    """Independent counts over their exposure, mean = exposure * rate; other p as they are.

    Columns of which some are counts are taken apart.

    An exposure of 0 counts as the smallest positive number.

    Args:
        p: p(x|z) with batch_shape (.., B).
        exposure: (B,) or (B, 1), such as the total count of a cell.

    >>> p = Independent(LogRatePoisson(torch.zeros(2, 3)), 1)
    >>> exposed(p, torch.tensor([1.0, 5.0])).mean[:, 0]
    tensor([1., 5.])
    """
    if not isinstance(p, Independent) or not isinstance(p.base_dist, Exposable):
        return p
    rank = p.reinterpreted_batch_ndims
    per_datum = exposure.reshape(len(exposure), *[1] * rank)
    log_exposure = per_datum.clamp_min(torch.finfo(exposure.dtype).tiny).log()
    return Independent(p.base_dist.exposed(log_exposure), rank)


def bounded_rate(log_rate: Tensor) -> Tensor:
    """Log rates as they are up to 30, and growing by their logarithm from there.

    exp(30) is 10^13 counts; a network that strays by some hundreds would give infinitely many.

    >>> bounded_rate(torch.tensor([-5.0, 30.0, 1000.0]))
    tensor([-5.0000, 30.0000, 36.8783])
    """
    excess = (log_rate - _MOST).clamp_min(0)
    return torch.where(log_rate > _MOST, _MOST + excess.log1p(), log_rate)


def mean_rate(x: Tensor, exposure: Tensor | None) -> Tensor:
    """(half a count + all counts) / (all exposure): (*event), of counts x (N, *event)."""
    total = known(x) if exposure is None else (_over(x, exposure) * ~x.isnan()).sum(0)
    return (x.nansum(0) + 0.5) / total.clamp_min(torch.finfo(x.dtype).tiny)


def dispersion_of(x: Tensor, rate: Tensor, exposure: Tensor | None) -> Tensor:
    """The a with variance m + a m^2, from 0.01 to 100: (*event), for x with means rate * exposure.

    >>> x = torch.tensor([[0.0], [4.0]])
    >>> dispersion_of(x, torch.tensor([2.0]), None)
    tensor([0.5000])
    """
    mean = rate.expand_as(x) if exposure is None else rate * _over(x, exposure)
    excess = ((x - mean).square() - mean).nansum(0)
    squares = mean.square().where(~x.isnan(), 0).sum(0)
    return (excess / squares.clamp_min(torch.finfo(x.dtype).tiny)).clamp(*_DISPERSIONS)


def _over(x: Tensor, exposure: Tensor) -> Tensor:
    return exposure.to(x).reshape(len(x), *[1] * (x.ndim - 1))


class LogRatePoisson(Counts):
    """p(x) = lambda^x exp(-lambda) / x!.

    Args:
        log_rate: log lambda, (*batch).

    >>> LogRatePoisson(torch.tensor(0.0)).log_prob(torch.tensor(0.0))
    tensor(-1.)
    """

    def __init__(self, log_rate: Tensor) -> None:
        super().__init__(log_rate.shape, validate_args=False)
        self.log_rate = log_rate

    @property
    def mean(self) -> Tensor:
        """lambda."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """lambda."""
        return self.mean

    def exposed(self, log_exposure: Tensor) -> "LogRatePoisson":
        """See ``Counts``."""
        return LogRatePoisson(self.log_rate + log_exposure)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch)."""
        return torch.poisson(self.mean.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """x log lambda - lambda - log x!, in nats."""
        x, log_rate = value.double(), self.log_rate.double()
        log_p = x * log_rate - log_rate.exp() - (x + 1).lgamma()
        return log_p.to(self.log_rate.dtype)


class GammaPoisson(Counts):
    """The negative binomial: Poisson counts whose rate is Gamma distributed.

    With mean m and dispersion a the variance is m + a m^2; 1 / a is the number of failures r of
    other parametrisations and the theta ("inverse dispersion") of scVI. a -> 0 is Poisson.

        p(x) = Gamma(x + r) / (Gamma(r) x!) (m / (m + r))^x (r / (m + r))^r

    Args:
        log_mean: log m, (*batch).
        dispersion: a > 0, broadcasts to (*batch); from 1e-4 on downwards digits are lost.

    >>> GammaPoisson(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(1.0)).exp()
    tensor(0.2500)
    """

    def __init__(self, log_mean: Tensor, dispersion: Tensor) -> None:
        super().__init__(log_mean.shape, validate_args=False)
        self.log_mean, self.dispersion = log_mean, dispersion

    @property
    def mean(self) -> Tensor:
        """m."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """m + a m^2."""
        return self.mean + self.dispersion * self.mean.square()

    def exposed(self, log_exposure: Tensor) -> "GammaPoisson":
        """See ``Counts``; the dispersion stays."""
        return GammaPoisson(self.log_mean + log_exposure, self.dispersion)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch)."""
        shape = self._extended_shape(sample_shape)
        gamma = _standard_gamma((1 / self.dispersion).expand(shape))
        return torch.poisson(gamma * self.dispersion * self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats; what depends on x and r alone is computed once for all samples of z."""
        x, dispersion = value.double(), self.dispersion.double()
        r = 1 / dispersion
        choices = (x + r).lgamma() - r.lgamma() - (x + 1).lgamma()
        logits = self.log_mean.double() + dispersion.log()
        log_p = choices + x * logsigmoid(logits) + r * logsigmoid(-logits)
        return log_p.to(self.log_mean.dtype)


class ZeroInflated(Counts):
    """0 with probability pi, else a draw of other counts.

    Args:
        counts: The others, with batch_shape (*batch).
        logits: Of pi, (*batch).

    >>> from torch import tensor
    >>> ZeroInflated(LogRatePoisson(tensor(0.0)), tensor(0.0)).mean
    tensor(0.5000)
    """

    def __init__(self, counts: Counts, logits: Tensor) -> None:
        super().__init__(counts.batch_shape, validate_args=False)
        self.counts, self.logits = counts, logits

    @property
    def mean(self) -> Tensor:
        """(1 - pi) m."""
        return (-self.logits).sigmoid() * self.counts.mean

    @property
    def variance(self) -> Tensor:
        """(1 - pi) (v + pi m^2)."""
        spread = self.logits.sigmoid() * self.counts.mean.square()
        return (-self.logits).sigmoid() * (self.counts.variance + spread)

    def exposed(self, log_exposure: Tensor) -> "ZeroInflated":
        """See ``Counts``; pi stays."""
        return ZeroInflated(self.counts.exposed(log_exposure), self.logits)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """(*sample_shape, *batch)."""
        counts = self.counts.sample(sample_shape)
        return counts * (torch.rand_like(counts) < (-self.logits).sigmoid())

    def log_prob(self, value: Tensor) -> Tensor:
        """log(pi [x = 0] + (1 - pi) p(x)), in nats."""
        log_p = logsigmoid(-self.logits) + self.counts.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(logsigmoid(self.logits), log_p), log_p)

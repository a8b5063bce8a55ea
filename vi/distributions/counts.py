"""Count distributions (Poisson and relatives) and their exposure.

Terms of size x log x cancel to a few nats in these log-densities. At counts of a million that uses
up every digit of single precision, so they are computed in double precision and returned in the
precision of the parameters.
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

_MOST = 30.0  # largest log rate that is left unchanged
_DISPERSIONS = (1e-2, 1e2)  # range of initial dispersions


class Counts(Exposable, Distribution, ABC):
    """Counts 0, 1, 2, .. in every entry, whose mean is proportional to an exposure.

    An implementer writes ``mean``, ``variance``, ``sample``, ``log_prob`` and ``exposed``.
    """

    arg_constraints = {}  # pyright: ignore
    support = constraints.nonnegative_integer  # pyright: ignore

    @abstractmethod
    def exposed(self, log_exposure: Tensor) -> "Counts":
        """Return the same counts with their mean multiplied by exp(log_exposure).

        Args:
            log_exposure: Broadcasts to batch_shape.
        """


def exposed(p: Distribution, exposure: Tensor) -> Distribution:
    """Multiply the means of independent counts by their exposure: mean = exposure * rate.

    Of a table, only the columns of counts change; distributions without counts are returned as
    they are. An exposure of 0 is replaced by the smallest positive number, whose logarithm is
    finite.

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
    """Return log rates up to 30 unchanged; above 30 they grow only logarithmically.

    exp(30) is about 10^13 counts. Without the limit, a network whose output reaches some hundreds
    would give an infinite rate.

    >>> bounded_rate(torch.tensor([-5.0, 30.0, 1000.0]))
    tensor([-5.0000, 30.0000, 36.8783])
    """
    excess = (log_rate - _MOST).clamp_min(0)
    return torch.where(log_rate > _MOST, _MOST + excess.log1p(), log_rate)


def mean_rate(x: Tensor, exposure: Tensor | None) -> Tensor:
    """Return (total count + 1/2) / (total exposure) of each entry, (*event).

    The half count keeps the logarithm of the rate finite where no count was seen.

    Args:
        x: Counts (N, *event), NaN where an entry is missing.
        exposure: (N,) or (N, 1); None counts each datum once.

    >>> mean_rate(torch.tensor([[1.0], [2.0]]), exposure=torch.tensor([1.0, 6.0]))
    tensor([0.5000])
    """
    total = known(x) if exposure is None else (_over(x, exposure) * ~x.isnan()).sum(0)
    return (x.nansum(0) + 0.5) / total.clamp_min(torch.finfo(x.dtype).tiny)


def dispersion_of(x: Tensor, rate: Tensor, exposure: Tensor | None) -> Tensor:
    """Return the dispersion a of each entry, with variance m + a m^2, limited to [0.01, 100].

    Args:
        x: Counts (N, *event), NaN where an entry is missing.
        rate: Rates (*event); the mean m of an entry is rate * exposure.
        exposure: (N,) or (N, 1); None is an exposure of 1.

    Returns:
        The moment estimate sum (x - m)^2 - m over sum m^2, (*event).

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
    """Poisson distribution p(x) = lambda^x exp(-lambda) / x!, parametrised by log lambda.

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
        """lambda, (*batch)."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """lambda, (*batch)."""
        return self.mean

    def exposed(self, log_exposure: Tensor) -> "LogRatePoisson":
        """Return Poisson counts with rate lambda exp(log_exposure)."""
        return LogRatePoisson(self.log_rate + log_exposure)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw counts without a gradient, (*sample_shape, *batch)."""
        return torch.poisson(self.mean.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return x log lambda - lambda - log x! in nats, (*batch)."""
        x, log_rate = value.double(), self.log_rate.double()
        log_p = x * log_rate - log_rate.exp() - (x + 1).lgamma()
        return log_p.to(self.log_rate.dtype)


class GammaPoisson(Counts):
    """Negative binomial distribution: Poisson counts with a Gamma-distributed rate.

        p(x) = Gamma(x + r) / (Gamma(r) x!) (m / (m + r))^x (r / (m + r))^r,    r = 1 / a

    With mean m and dispersion a the variance is m + a m^2. r is the number of failures in other
    parametrisations and the "inverse dispersion" theta of scVI. The limit a -> 0 is the Poisson
    distribution.

    Args:
        log_mean: log m, (*batch).
        dispersion: a > 0, broadcasts to (*batch); below about 1e-4 digits are lost.

    >>> GammaPoisson(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(1.0)).exp()
    tensor(0.2500)
    """

    def __init__(self, log_mean: Tensor, dispersion: Tensor) -> None:
        super().__init__(log_mean.shape, validate_args=False)
        self.log_mean, self.dispersion = log_mean, dispersion

    @property
    def mean(self) -> Tensor:
        """m, (*batch)."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """m + a m^2, (*batch)."""
        return self.mean + self.dispersion * self.mean.square()

    def exposed(self, log_exposure: Tensor) -> "GammaPoisson":
        """Return counts with mean m exp(log_exposure) and the same dispersion."""
        return GammaPoisson(self.log_mean + log_exposure, self.dispersion)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a Gamma-distributed rate, then counts with that rate, (*sample_shape, *batch)."""
        shape = self._extended_shape(sample_shape)
        gamma = _standard_gamma((1 / self.dispersion).expand(shape))
        return torch.poisson(gamma * self.dispersion * self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x) in nats, (*batch).

        The terms in x and r alone have no sample axis, so they are computed once for all samples
        of z.
        """
        x, dispersion = value.double(), self.dispersion.double()
        r = 1 / dispersion
        choices = (x + r).lgamma() - r.lgamma() - (x + 1).lgamma()
        logits = self.log_mean.double() + dispersion.log()
        log_p = choices + x * logsigmoid(logits) + r * logsigmoid(-logits)
        return log_p.to(self.log_mean.dtype)


class ZeroInflated(Counts):
    """Counts that are 0 with probability pi and otherwise follow another count distribution.

        p(x) = pi [x = 0] + (1 - pi) p_counts(x)

    Args:
        counts: The other counts, with batch_shape (*batch).
        logits: log pi / (1 - pi), (*batch).

    >>> from torch import tensor
    >>> ZeroInflated(LogRatePoisson(tensor(0.0)), tensor(0.0)).mean
    tensor(0.5000)
    """

    def __init__(self, counts: Counts, logits: Tensor) -> None:
        super().__init__(counts.batch_shape, validate_args=False)
        self.counts, self.logits = counts, logits

    @property
    def mean(self) -> Tensor:
        """(1 - pi) m, with m the mean of the other counts, (*batch)."""
        return (-self.logits).sigmoid() * self.counts.mean

    @property
    def variance(self) -> Tensor:
        """(1 - pi) (v + pi m^2), with m and v the moments of the other counts, (*batch)."""
        spread = self.logits.sigmoid() * self.counts.mean.square()
        return (-self.logits).sigmoid() * (self.counts.variance + spread)

    def exposed(self, log_exposure: Tensor) -> "ZeroInflated":
        """Multiply the mean of the other counts by exp(log_exposure); pi does not change."""
        return ZeroInflated(self.counts.exposed(log_exposure), self.logits)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw the other counts and set each to 0 with probability pi: (*sample_shape, *batch)."""
        counts = self.counts.sample(sample_shape)
        return counts * (torch.rand_like(counts) < (-self.logits).sigmoid())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log(pi [x = 0] + (1 - pi) p_counts(x)) in nats, (*batch)."""
        log_p = logsigmoid(-self.logits) + self.counts.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(logsigmoid(self.logits), log_p), log_p)

"""The likelihood of real data with heavy-tailed noise."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.gamma import _standard_gamma

from vi.distributions.moments import mean_of, spread_of
from vi.distributions.positive import PositiveParameter
from vi.likelihoods.location_scale import OwnScaleLikelihood
from vi.math import Shape

_LEAST_DF = 2.01  # the variance is infinite at 2
_MANY_DF = 100.0  # above it the normaliser is a series


class StudentT(OwnScaleLikelihood):
    """Student t p(x|z) = prod_d t(x_d; df, mu_d(z), s_d(z)), with one learned df for all data.

    An outlier costs (df + 1) log |x - mu| nats instead of a square. s is floor + softplus(output
    of the decoder); the standard deviation is s sqrt(df / (df - 2)).

    Args:
        df: Initial degrees of freedom; they stay above 2.01.
        floor: Lower limit of s, in the units of the data (of their standard deviation if the model
            standardises). Without it the density is unbounded.

    Raises:
        ConfigurationError: floor <= 0, or df <= 2.01.

    Reference: Takahashi, Iwata, Yamanaka, Yamada and Yagi, 2018,
    https://doi.org/10.24963/ijcai.2018/374

    >>> likelihood = StudentT(df=4.0, floor=1.0)
    >>> likelihood.set_event_shape((1,))
    >>> likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.zeros(1)).exp().item()
    0.375
    """

    def __init__(self, df: float = 10.0, floor: float = 1e-2) -> None:
        super().__init__(floor)
        self.df = PositiveParameter("df", df, floor=_LEAST_DF)

    def entries(self, loc: Tensor, scale: Tensor) -> Distribution:
        """Return t(df, loc, scale) for each entry."""
        return _StudentT(self.df(), loc, scale)

    @torch.no_grad()
    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of each entry, and the scale that gives its standard deviation."""
        df = self.df().double()
        return mean_of(x), spread_of(x) * ((df - 2) / df).sqrt()


class _StudentT(Distribution):
    """Student t whose normaliser is computed once for a shared df, precisely for any df > 2."""

    arg_constraints = {  # pyright: ignore
        "df": constraints.greater_than(2),
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real  # pyright: ignore

    def __init__(
        self, df: Tensor, loc: Tensor, scale: Tensor, *, validate_args: bool = False
    ) -> None:
        self.df, self.loc, self.scale = df, loc, scale
        super().__init__(loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * self.df / (self.df - 2)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        half_chi2 = _standard_gamma((self.df / 2).expand(shape))
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * noise * (self.df / (2 * half_chi2)).sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        kernel = (self.df + 1) / 2 * (z.square() / self.df).log1p()
        return -kernel - self.scale.log() - _log_normaliser(self.df)


def _log_normaliser(df: Tensor) -> Tensor:
    """Return log(sqrt(pi df) Gamma(df / 2) / Gamma((df + 1) / 2)), by a series if df is large."""
    few, many = df.double().clamp_max(_MANY_DF), df.double().clamp_min(_MANY_DF)
    exact = 0.5 * (math.pi * few).log() + (few / 2).lgamma() - ((few + 1) / 2).lgamma()
    u = 1 / many
    series = 0.5 * math.log(2 * math.pi) + u / 4 - u**3 / 24 + u**5 / 20
    return torch.where(df < _MANY_DF, exact, series).to(df.dtype)

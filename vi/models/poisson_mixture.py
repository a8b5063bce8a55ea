"""Mixtures of independent counts."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import constraints

from vi.initializations.base import Initialization
from vi.initializations.kmeans_plus_plus import KMeansPlusPlus
from vi.models.mixture import Mixture, MixtureOptions, require_prior_count
from vi.models.statistics import Statistics

_PLUS_PLUS = KMeansPlusPlus()
# A rate of 0 would have an infinite logarithm. With this one the energy of a datum is too low by
# at most D times 1e-12 nats.
_LEAST_RATE = 1e-12


class PoissonMixture(Mixture):
    """Mixture of counts, p(x) = sum_c pi_c prod_d lambda_cd^x_d exp(-lambda_cd) / x_d!.

    The prior of each lambda_cd is Gamma(1 + n_0 m_d, n_0), with m the mean of the training data.
    Its effect is that of n_0 data equal to m added to each component.

    Args:
        data_shape: Event shape of the data; the model flattens them to (D,).
        num_components: C.
        initialization: Chooses the first centres among the data.
        prior_count: n_0, the number of pseudo-data of each component.
        **options: ``learn_weights``, ``restarts`` and ``inference`` of ``Mixture``.

    Raises:
        ConfigurationError: ``prior_count`` is negative.

    Reference: Karlis and Xekalaki, 2005, https://doi.org/10.1111/j.1751-5823.2005.tb00250.x

    >>> model = PoissonMixture((4,), 3)
    >>> model.posterior(torch.ones(5, 4)).mean.shape
    torch.Size([5, 3])
    """

    support = constraints.nonnegative_integer
    needs = "counts 0, 1, 2, ..."
    data_mean: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int,
        initialization: Initialization = _PLUS_PLUS,
        *,
        prior_count: float = 1.0,
        **options: Unpack[MixtureOptions],
    ) -> None:
        super().__init__(data_shape, num_components, initialization, **options)
        require_prior_count(prior_count)
        self.prior_count = prior_count
        shape = (num_components, *self.data_shape)
        self.log_rate = nn.Parameter(torch.randn(shape, dtype=torch.float64))
        self.register_buffer("data_mean", torch.ones(self.data_shape, dtype=torch.float64))
        self.infer_with(options.get("inference"))

    def data_head(self) -> "PoissonMixture":
        """Return this model, which has the support of x."""
        return self

    def component_log_prob(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Return log p(x|c) = sum_d x_d log lambda_cd - lambda_cd - log x_d! in nats."""
        log_factorial = (x + 1).lgamma().sum(-1, keepdim=True)
        return x @ self.log_rate.mT - self.log_rate.exp().sum(-1) - log_factorial

    def component_means(self) -> Float[Tensor, "C D"]:
        """Return the rates lambda_cd."""
        return self.log_rate.exp()

    def draw(self, component: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """Draw counts x ~ p(x|c), one row for each component given."""
        return torch.poisson(self.component_means()[component])

    def moments(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """Return the counts S_cd = sum_n r_nc x_nd, and the constant sum_nd log x_nd!."""
        return {"first": r.mT @ x, "log_factorial": (x + 1).lgamma().sum()}

    def moment_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_cd S_cd log lambda_cd - N_c lambda_cd, minus the constant, in nats."""
        linear = (statistics["first"] * self.log_rate).sum()
        rates = statistics["mass"] @ self.log_rate.exp().sum(-1)
        return linear - rates - statistics["log_factorial"]

    def fit(self, statistics: Statistics) -> None:
        """Set lambda_cd = (S_cd + n_0 m_d) / (N_c + n_0)."""
        mass, counts = statistics["mass"], statistics["first"]
        total = mass[:, None] + self.prior_count
        rate = (counts + self.prior_count * self.data_mean) / total
        self.log_rate.copy_(rate.clamp(min=_LEAST_RATE).log().where(total > 0, self.log_rate))

    def log_prior(self) -> Float[Tensor, ""]:
        """Return n_0 sum_cd m_d log lambda_cd - lambda_cd, up to a constant, in nats."""
        return self.prior_count * (self.data_mean * self.log_rate - self.log_rate.exp()).sum()

    @torch.no_grad()
    def calibrate(self, x: Float[Tensor, "N D"]) -> None:
        """Store the mean of the training data, m."""
        self.data_mean.copy_(x.mean(0))

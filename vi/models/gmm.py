"""Gaussian mixtures."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vi.covariances.base import PRIOR_HINT, Covariance
from vi.initializations.base import Initialization
from vi.initializations.kmeans_plus_plus import KMeansPlusPlus
from vi.models.mixture import Mixture, MixtureOptions
from vi.models.statistics import Statistics

_PLUS_PLUS = KMeansPlusPlus()
# A dimension whose standard deviation is below this part of its size is constant up to rounding.
_CONSTANT = 1e-14


class GMM(Mixture):
    """Gaussian mixture, p(x) = sum_c pi_c N(x; mu_c, Sigma_c).

    With one spherical covariance, fixed weights and hard responsibilities it is k-means. Moments
    are taken about the mean of the training data, so that data far from 0 lose no digits.

    Args:
        data_shape: Event shape of the data; the model flattens them to (D,).
        num_components: C.
        covariance: The form of Sigma_c and its prior.
        initialization: Chooses the first centres among the data.
        **options: ``learn_weights``, ``restarts`` and ``inference`` of ``Mixture``.

    Raises:
        ConfigurationError: The covariance belongs to another model.

    Reference: Bishop, Pattern Recognition and Machine Learning, 2006, section 9.2

    >>> from vi.covariances.full import Full
    >>> model = GMM((2,), 3, Full())
    >>> model.posterior(torch.zeros(5, 2)).mean.shape, model.log_evidence(torch.zeros(5, 2)).shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    origin: Tensor
    prior_hint = PRIOR_HINT

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int,
        covariance: Covariance,
        initialization: Initialization = _PLUS_PLUS,
        **options: Unpack[MixtureOptions],
    ) -> None:
        super().__init__(data_shape, num_components, initialization, **options)
        (dim,) = self.data_shape
        covariance.set_shape(num_components, dim)
        self.covariance = covariance
        self.loc = nn.Parameter(torch.randn(num_components, dim, dtype=torch.float64))
        self.register_buffer("origin", torch.zeros(dim, dtype=torch.float64))
        self.infer_with(options.get("inference"))

    @property
    def prior_count(self) -> float:
        """The number n_0 of pseudo-data in the prior of each covariance."""
        return self.covariance.prior_count

    def component_log_prob(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Return log N(x; mu_c, Sigma_c) in nats."""
        return self.covariance.log_prob(x - self.origin, self.loc - self.origin)

    def component_means(self) -> Float[Tensor, "C D"]:
        """Return the means mu_c."""
        return self.loc

    def draw(self, component: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """Draw x = mu_c + L_c e with e ~ N(0, I) and L_c L_c' = Sigma_c, one row for each c."""
        noise = self.loc.new_empty(len(component), 1, *self.data_shape).normal_()
        coloured = self.covariance.colour(noise).expand(-1, self.num_components, -1)
        rows = torch.arange(len(component), device=component.device)
        return self.loc[component] + coloured[rows, component]

    def moments(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """Return the first and second moments of x - origin, weighted by r."""
        x = x - self.origin
        return {"first": r.mT @ x, "second": self.covariance.second_moment(x, r)}

    def moment_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_nc r_nc log N(x_n; mu_c, Sigma_c) in nats."""
        scatter = self._scatter(statistics, self.loc - self.origin)
        return self.covariance.energy(scatter, statistics["mass"])

    def fit(self, statistics: Statistics) -> None:
        """Set mu_c = sum_n r_nc x_n / N_c, and Sigma_c from the scatter about mu_c.

        Raises:
            NumericsError: A covariance is not positive definite.
        """
        mass = statistics["mass"]
        mean = statistics["first"] / mass[:, None]
        loc = mean.where(mass[:, None] > 0, self.loc - self.origin)
        self.covariance.m_step(self._scatter(statistics, loc), mass)
        self.loc.copy_(loc + self.origin)

    def rounding(self, statistics: Statistics) -> float:
        """Return the rounding error of ``energy``, in nats, that the covariance estimates."""
        return self.covariance.rounding(statistics["second"], statistics["mass"], self.loc)

    def log_prior(self) -> Float[Tensor, ""]:
        """Return the log prior of the covariances in nats; mu and pi have flat priors."""
        return self.covariance.log_prior()

    @torch.no_grad()
    def calibrate(self, x: Float[Tensor, "N D"]) -> None:
        """Store the mean and the variance of the training data.

        A constant dimension gets the mean variance of the others; otherwise the prior of its
        covariance would be singular.
        """
        variance, mean = torch.var_mean(x, 0, correction=0)
        varies = variance > (_CONSTANT * x.abs().amax(0)).square()
        usual = variance[varies].mean() if varies.any() else torch.ones_like(variance[0])
        self.origin.copy_(mean)
        self.covariance.calibrate(variance.where(varies, usual))

    def _scatter(self, statistics: Statistics, loc: Tensor) -> Tensor:
        """Return the second moments about ``loc``, from those about the origin."""
        second, first, mass = (statistics[k] for k in ("second", "first", "mass"))
        return self.covariance.scatter(second, first, mass, loc)

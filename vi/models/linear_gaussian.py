"""Linear-Gaussian latents: posterior, evidence and M-step in closed form."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.models.base import ExactModel, Statistics

# Of the noise in W before the first step: small beside the noise of x, yet off the saddle at 0.
_START = 0.1
# What is left of a variance when everything else of it was explained, in double precision.
_SINGULAR = 1e-12


class LinearGaussian(ExactModel):
    """p(z) = N(0, I), p(x|z) = N(W z + mu, Psi) with a diagonal Psi; so p(x) = N(mu, W W' + Psi).

    An implementer sets ``log_scale``, log(Psi) / 2 of shape () or (D,), and writes
    ``noise_variance``. Comes for free: everything else.

    Everything goes through M = I + W' Psi^-1 W of size (Z, Z), at a cost of O(D Z^2); a D x D
    matrix is never made. Parameters are double precision, and so are results for any x and z.

    Args:
        data_shape: Shape of one datum; x is flat, (D,).
        latent_dim: Z, less than D.

    Raises:
        ConfigurationError: latent_dim is not between 1 and D - 1.

    Reference: Roweis and Ghahramani, 1999, https://doi.org/10.1162/089976699300016674
    """

    log_scale: nn.Parameter
    origin: Tensor
    """(D,), what the statistics are centred at, lest they cancel: the mean of the data."""

    def __init__(self, data_shape: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        d = math.prod(data_shape)
        require_positive("latent_dim", latent_dim)
        if latent_dim >= d:
            raise ConfigurationError(
                f"latent_dim must be less than the {d} entries of a datum, got {latent_dim}",
                hint=f"latent_dim={max(1, d - 1)} is the largest that leaves room for noise",
            )
        self.data_shape = (d,)
        self.weight = nn.Parameter(_START * torch.randn(d, latent_dim, dtype=torch.float64))
        self.loc = nn.Parameter(torch.zeros(d, dtype=torch.float64))
        self.register_buffer("origin", torch.zeros(d, dtype=torch.float64))

    @abstractmethod
    def noise_variance(self, variance: Float[Tensor, " D"]) -> Tensor:
        """The Psi, () or (D,), that maximises the energy where this is left of each entry of x."""

    def prior(self, **given: Tensor) -> Distribution:
        """N(0, I)."""
        loc = self.weight.new_zeros(self.weight.shape[1])
        return Independent(Normal(loc, torch.ones_like(loc), validate_args=False), 1)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """N(W z + mu, Psi)."""
        loc = z.to(self.weight.dtype) @ self.weight.mT + self.loc
        return Independent(Normal(loc, self.log_scale.exp(), validate_args=False), 1)

    def posterior(self, x: Tensor, **given: Tensor) -> MultivariateNormal:
        """p(z|x) = N(M^-1 W' Psi^-1 (x - mu), M^-1)."""
        weighted = self.weight.mT * (-2 * self.log_scale).exp()
        identity = torch.eye(len(weighted), dtype=weighted.dtype, device=weighted.device)
        precision = weighted @ self.weight + identity
        factor = torch.linalg.cholesky(precision)
        loc = torch.cholesky_solve(weighted @ (x - self.loc).mT, factor).mT
        return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)

    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """log N(x; mu, W W' + Psi) = log p(x, z) - log p(z|x), at z = E[z|x].

        Bayes' rule holds at every z; at this one it is the matrix inversion and the determinant
        lemma in one, without their difference of large numbers.
        """
        q = self.posterior(x)
        return self.log_joint(x, q.mean) - q.log_prob(q.mean)

    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """Sums of x, x^2, E[z], x E[z]' and E[z z'], with x counted from ``origin``."""
        x, mean = x - self.origin, q.mean.to(self.weight.dtype)
        covariance: Tensor = q.covariance_matrix  # pyright: ignore[reportAttributeAccessIssue]
        return Statistics(
            {
                "count": x.new_tensor(len(x)),
                "entropy": q.entropy().sum(),
                "x": x.sum(0),
                "xx": x.square().sum(0),
                "z": mean.sum(0),
                "xz": x.mT @ mean,
                "zz": covariance.sum(0) + mean.mT @ mean,
            }
        )

    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """-1/2 sum_n E[(x - W z - mu)' Psi^-1 (x - W z - mu) + z'z + log |2 pi Psi| + Z log 2 pi].

        A quadratic in (W, mu) with the coefficients that ``statistics`` holds.
        """
        d, latent_dim = self.weight.shape
        n, moments, cross = _regression(statistics)
        theta = torch.cat([self.weight, (self.loc - self.origin)[:, None]], -1)
        squares = statistics["xx"] + (theta * (theta @ moments - 2 * cross)).sum(-1)
        log_scale = self.log_scale.expand(d)
        log_det = n * ((d + latent_dim) * math.log(2 * math.pi) + 2 * log_scale.sum())
        mahalanobis = squares @ (-2 * log_scale).exp() + statistics["zz"].trace()
        return -0.5 * (mahalanobis + log_det)

    @torch.no_grad()
    def m_step(self, statistics: Statistics) -> None:
        """Regress x on (z, 1), which gives W and mu at once; what is left gives Psi."""
        n, moments, cross = _regression(statistics)
        theta = torch.cholesky_solve(cross.mT, self._factor(n, moments)).mT
        left = statistics["xx"] - (theta * cross).sum(-1)
        total = statistics["xx"] - statistics["x"].square() / n
        self._set_noise(left / n, total / n)
        self.weight.copy_(theta[:, :-1])
        self.loc.copy_(self.origin + theta[:, -1])

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """mu is the mean, Psi what the variances give, W random and small beside Psi."""
        x = x.to(self.weight.dtype)
        variance = x.var(0, correction=0)
        self._set_noise(variance, variance)
        self.origin.copy_(x.mean(0))
        self.loc.copy_(self.origin)
        noise = torch.randn_like(self.weight).mT * self.log_scale.exp()
        self.weight.copy_(_START * noise.mT)

    def _set_noise(self, left: Tensor, total: Tensor) -> None:
        """Psi from the variance that is left in each entry of x, of the total."""
        noise, whole = self.noise_variance(left), self.noise_variance(total)
        if not (noise > _SINGULAR * whole).all():
            raise NumericsError(
                f"the noise variance fell to {noise.min().item():.3g} in data of variance "
                f"{total.mean().item():.3g}: log p(x) has no maximum",
                hint=f"a latent_dim below {self.weight.shape[1]} or more data leave some noise; "
                "model=factor_analysis keeps a floor under it",
            )
        self.log_scale.copy_(noise.log() / 2)

    def _factor(self, n: Tensor, moments: Tensor) -> Tensor:
        """The Cholesky factor of the second moments of (z, 1)."""
        factor, failed = torch.linalg.cholesky_ex(moments)
        pivots = factor.diagonal().square()
        if failed or not pivots.min() > _SINGULAR * pivots.max():
            raise NumericsError(
                f"the second moments of (z, 1) over {n.item():g} data are singular "
                f"(pivots from {pivots.min().item():.3g} to {pivots.max().item():.3g})",
                hint=f"give more than latent_dim={self.weight.shape[1]} data, or lower latent_dim",
            )
        return factor


def _regression(statistics: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """N, the moments E[(z, 1) (z, 1)'] and the cross moments x E[(z, 1)]', summed over data."""
    n, z = statistics["count"], statistics["z"]
    upper = torch.cat([statistics["zz"], z[:, None]], -1)
    lower = torch.cat([z, n[None]])
    cross = torch.cat([statistics["xz"], statistics["x"][:, None]], -1)
    return n, torch.cat([upper, lower[None]]), cross

"""Linear-Gaussian models: posterior, evidence and M-step in closed form."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.models.exact import ExactModel
from vi.models.krylov import krylov_rows
from vi.models.ritz import better_span
from vi.models.statistics import Statistics

# Scale of the random W before the first step: small beside the noise of x, but off the saddle 0.
_START = 0.1
# Relative size below which a residual variance is 0 up to the rounding of double precision.
_SINGULAR = 1e-13
# Number of rows or dimensions up to which the start uses the whole covariance. Beyond it, the
# start makes passes over the data if _FEW blocks of directions fit.
WIDE = 1024
_FEW = 4
_BESIDE = 1 << 14  # size of the probe: all directions if D <= 128, Z + 8 of them if D is large
_RISE = 1e-7  # nats per datum above which a saddle is left
_ROUNDING = 32  # error of a sum over data, in units of the last place
# Squared singular value of W, in units of the noise, below which a direction is lost.
_LOST = 1e-6


class LinearGaussian(ExactModel):
    """p(z) = N(0, I), p(x|z) = N(W z + mu, Psi) with a diagonal Psi; so p(x) = N(mu, W W' + Psi).

    An implementer sets ``log_scale``, log(Psi) / 2 of shape () or (D,), and writes
    ``noise_variance``. Comes for free: everything else.

    All computations use M = I + W' Psi^-1 W of size (Z, Z), at a cost of O(D Z^2); no
    D x D matrix is formed. Parameters and results are in double precision for any x and z.

    Args:
        data_shape: Shape of one datum; the model flattens x to (D,).
        latent_dim: Z, less than D.

    Raises:
        ConfigurationError: ``latent_dim`` is not between 1 and D - 1.

    Reference: Roweis and Ghahramani, 1999, https://doi.org/10.1162/089976699300016674
    """

    log_scale: nn.Parameter
    origin: Tensor
    """(D,), the mean of the data; statistics are centred at it against cancellation."""
    probe: Tensor
    """(D, k), random directions through which variance outside the span of W is detected."""

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
        width = min(d, max(latent_dim + 8, _BESIDE // d))
        noise = torch.randn(d, width, dtype=torch.float64, generator=torch.Generator())
        self.register_buffer("probe", noise, persistent=False)

    @abstractmethod
    def noise_variance(self, variance: Float[Tensor, " D"]) -> Tensor:
        """Return the Psi, () or (D,), of greatest energy for these residual variances of x."""

    def prior(self, **given: Tensor) -> Distribution:
        """Return N(0, I)."""
        loc = self.weight.new_zeros(self.weight.shape[1])
        return Independent(Normal(loc, torch.ones_like(loc), validate_args=False), 1)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """Return N(W z + mu, Psi)."""
        loc = z.to(self.weight.dtype) @ self.weight.mT + self.loc
        return Independent(Normal(loc, self.log_scale.exp(), validate_args=False), 1)

    def exact_posterior(self, x: Tensor, **given: Tensor) -> MultivariateNormal:
        """Return p(z|x) = N(M^-1 W' Psi^-1 (x - mu), M^-1)."""
        weighted = self.weight.mT * (-2 * self.log_scale).exp()
        identity = torch.eye(len(weighted), dtype=weighted.dtype, device=weighted.device)
        precision = weighted @ self.weight + identity
        factor = torch.linalg.cholesky(precision)
        loc = torch.cholesky_solve(weighted @ (x - self.loc).mT, factor).mT
        return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)

    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """Return log N(x; mu, W W' + Psi) = log p(x, z) - log p(z|x), at z = E[z|x], in nats.

        Bayes' rule holds at every z. At the mean it combines the matrix inversion lemma and the
        determinant lemma, without their difference of large numbers.
        """
        q = self.exact_posterior(x)
        z, left = q.mean, x - self.loc
        noise = Normal(z @ self.weight.mT, self.log_scale.exp(), validate_args=False)
        joint = noise.log_prob(left).sum(-1) + self.prior().log_prob(z)
        return joint - q.log_prob(z)

    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """Return sums of x, x^2, E[z], x E[z]', E[z z'] and x x' Psi^-1/2 G, of centred x.

        The last one, with G = ``probe``, is used by ``leave_saddle`` and not by the M-step.
        """
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
                "sketch": x.mT @ (x @ (self.probe.mT * (-self.log_scale).exp()).mT),
                "zz": covariance.sum(0) + mean.mT @ mean,
            }
        )

    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """-1/2 sum_n E[(x - W z - mu)' Psi^-1 (x - W z - mu) + z'z + log |2 pi Psi| + Z log 2 pi].

        It is a quadratic in (W, mu) with coefficients from ``statistics``.
        """
        d, latent_dim = self.weight.shape
        n, moments, cross = _regression(statistics)
        theta = torch.cat([self.weight, (self.loc - self.origin)[:, None]], -1)
        squares = statistics["xx"] + (theta * (theta @ moments - 2 * cross)).sum(-1)
        log_scale = self.log_scale.expand(d)
        log_det = n * ((d + latent_dim) * math.log(2 * math.pi) + 2 * log_scale.sum())
        mahalanobis = squares @ (-2 * log_scale).exp() + statistics["zz"].trace()
        return -0.5 * (mahalanobis + log_det)

    def rounding(self, statistics: Statistics) -> float:
        """Return the rounding of the sum of x^2 / Psi, most of which cancels in the energy."""
        precision = (-2 * self.log_scale).exp().expand(len(self.loc))
        eps = torch.finfo(precision.dtype).eps
        return _ROUNDING * eps * float(statistics["xx"] @ precision)

    @torch.no_grad()
    def m_step(self, statistics: Statistics) -> None:
        """Set W and mu by regression of x on (z, 1), and Psi from the residual variances."""
        n, moments, cross = _regression(statistics)
        theta = torch.cholesky_solve(cross.mT, self._factor(n, moments)).mT
        left = statistics["xx"] - (theta * cross).sum(-1)
        total = statistics["xx"] - statistics["x"].square() / n
        self._set_noise(left / n, total / n)
        self.weight.copy_(theta[:, :-1])
        self.loc.copy_(self.origin + theta[:, -1])

    @torch.no_grad()
    def reduce(self, statistics: Statistics) -> Statistics:
        """Free the prior, p(z) = N(a, L L'); maximise over a and L; absorb them into mu and W.

        p(x) and the evidence do not change. q becomes that of L^-1 (z - a), and the objective
        rises by N KL(N(a, L L') || p(z)). Without this step the size of W converges slowly (Liu,
        Rubin and Wu, 1998, https://doi.org/10.1093/biomet/85.4.755).
        """
        n, mean = statistics["count"], statistics["z"] / statistics["count"]
        factor = torch.linalg.cholesky(statistics["zz"] / n - mean.outer(mean))
        self.loc.add_(self.weight @ mean)
        self.weight.copy_(self.weight @ factor)
        cross = statistics["xz"] - statistics["x"].outer(mean)
        log_det = factor.diagonal().log().sum()
        reduced = {
            "entropy": statistics["entropy"] - n * log_det,
            "z": torch.zeros_like(mean),
            "xz": torch.linalg.solve_triangular(factor.mT, cross, upper=True, left=False),
            "zz": n * torch.eye(len(mean), dtype=mean.dtype, device=mean.device),
        }
        return Statistics(statistics.sums | reduced)

    @torch.no_grad()
    def leave_saddle(self, statistics: Statistics) -> bool:
        """Turn W to a greater likelihood at the present Psi, if ``probe`` finds a direction.

        A stationary point of EM is a saddle if the data vary more, in units of the noise, in a
        direction outside the span of W than in one inside. The likelihood rises at least by the
        amount found.

        Args:
            statistics: Statistics of the exact posterior at the present parameters.

        Returns:
            Whether W has changed.
        """
        n, scale = statistics["count"], self.log_scale.exp().expand(len(self.loc))[:, None]
        mean = statistics["x"] / n
        whitened = self.probe / scale
        sketch = statistics["sketch"] / n - mean.outer(mean @ whitened)
        cross = statistics["xz"] / n - mean.outer(statistics["z"] / n)
        basis, size, turn = torch.linalg.svd(self.weight / scale, full_matrices=False)
        kept = size.square() > _LOST
        size, basis = size[kept], basis[:, kept]
        image = cross / scale @ turn.mT[:, kept] * (size + 1 / size)
        latent_dim = self.weight.shape[1]
        values, axes, rise = better_span(basis, image, self.probe, sketch / scale, latent_dim)
        if not rise > _RISE + _ROUNDING * torch.finfo(values.dtype).eps * values.sum():
            return False
        found = scale * axes * (values - 1).clamp(min=0).sqrt()
        self.weight.copy_(nn.functional.pad(found, (0, latent_dim - len(values))))
        return True

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Set mu to the mean, and W and Psi from the principal axes of the data."""
        x = x.to(self.weight.dtype)
        self.origin.copy_(x.mean(0))
        self.loc.copy_(self.origin)
        centred = x - self.origin
        variance = centred.square().mean(0)
        self._set_noise(variance, variance)
        self.begin(self.condensed(centred), variance)

    def condensed(self, centred: Float[Tensor, "N D"]) -> Float[Tensor, "n D"]:
        """Return rows R with R'R equal to the covariance S, at least in its principal axes."""
        fits = _FEW * self.probe.shape[1] <= min(centred.shape)
        if min(centred.shape) > WIDE and fits:
            return krylov_rows(centred, self.probe, self.weight.shape[1])
        return whole_rows(centred)

    def begin(self, rows: Float[Tensor, "n D"], variance: Float[Tensor, " D"]) -> None:
        """Set W and Psi from rows R with R'R the covariance, and from its diagonal."""
        self._span(rows, variance, torch.ones_like(variance))

    def _span(self, rows: Tensor, variance: Tensor, unit: Tensor) -> None:
        """Set W to that of PPCA in these units of the entries, and Psi to the residuals."""
        d, latent_dim = self.weight.shape
        values, axes = _principal(rows / unit, latent_dim)
        share = (axes.square() * values).sum(-1)
        left = ((variance / unit.square() - share).clamp(min=0)) * d / (d - latent_dim)
        self._set_noise(left * unit.square(), variance)
        size = (values - left.mean()).clamp(min=0).sqrt()
        self.weight.copy_(unit[:, None] * axes * size)

    def _set_noise(self, left: Tensor, total: Tensor) -> None:
        """Set Psi from the residual variance of each entry, which must exceed rounding."""
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
        """Return the Cholesky factor of the second moments of (z, 1)."""
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
    """Return N, the moments sum_n E[(z, 1) (z, 1)'] and the cross moments sum_n x E[(z, 1)]'."""
    n, z = statistics["count"], statistics["z"]
    upper = torch.cat([statistics["zz"], z[:, None]], -1)
    lower = torch.cat([z, n[None]])
    cross = torch.cat([statistics["xz"], statistics["x"][:, None]], -1)
    return n, torch.cat([upper, lower[None]]), cross


def whole_rows(centred: Tensor) -> Float[Tensor, "n D"]:
    """Return rows R with R'R the covariance, at most max(D, 1024) of them."""
    n, d = centred.shape
    if n <= max(d, WIDE):
        return centred / math.sqrt(n)
    values, axes = torch.linalg.eigh(centred.mT @ centred / n)
    return values.clamp(min=0).sqrt()[:, None] * axes.mT


def _principal(rows: Tensor, count: int) -> tuple[Float[Tensor, " Z"], Float[Tensor, "D Z"]]:
    """Return the greatest eigenvalues of R'R and their eigenvectors, padded with zeros."""
    _, values, axes = torch.linalg.svd(rows, full_matrices=False)
    padded = values.new_zeros(max(count, len(values)))
    padded[: len(values)] = values.square()
    return padded[:count], nn.functional.pad(axes, (0, 0, 0, count))[:count].mT

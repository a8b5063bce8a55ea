"""Linear-Gaussian latents: posterior, evidence and M-step in closed form."""

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

# Of the noise in W before the first step: small beside the noise of x, yet off the saddle at 0.
_START = 0.1
# What is left of a variance when everything else of it was explained, in double precision.
_SINGULAR = 1e-13
# Rows, or dimensions, up to which the start takes the whole covariance; beyond, it takes passes
# over the data if so many blocks fit into it.
WIDE = 1024
_FEW = 4
_BESIDE = 1 << 14  # numbers of the probe: all directions of D <= 128, Z + 8 where D is large
_RISE = 1e-7  # nats per datum that make a saddle worth leaving
_ROUNDING = 32  # units of the last place that a sum over data may be wrong by
# A column of W of which this is left, squared, in units of the noise, is lost.
_LOST = 1e-6


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
    probe: Tensor
    """(D, k), random directions: what of the data lies beside W is seen through them."""

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
        """The Psi, () or (D,), that maximises the energy where this is left of each entry of x."""

    def prior(self, **given: Tensor) -> Distribution:
        """N(0, I)."""
        loc = self.weight.new_zeros(self.weight.shape[1])
        return Independent(Normal(loc, torch.ones_like(loc), validate_args=False), 1)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """N(W z + mu, Psi)."""
        loc = z.to(self.weight.dtype) @ self.weight.mT + self.loc
        return Independent(Normal(loc, self.log_scale.exp(), validate_args=False), 1)

    def exact_posterior(self, x: Tensor, **given: Tensor) -> MultivariateNormal:
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
        q = self.exact_posterior(x)
        z, left = q.mean, x - self.loc
        noise = Normal(z @ self.weight.mT, self.log_scale.exp(), validate_args=False)
        joint = noise.log_prob(left).sum(-1) + self.prior().log_prob(z)
        return joint - q.log_prob(z)

    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """Sums of x, x^2, E[z], x E[z]', E[z z'] and x x' Psi^-1/2 G, x counted from ``origin``.

        The last is of no use to the M-step; ``leave_saddle`` looks beside W with it.
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

    def rounding(self, statistics: Statistics) -> float:
        """The squares of x in units of the noise, of which the energy is a small difference."""
        precision = (-2 * self.log_scale).exp().expand(len(self.loc))
        eps = torch.finfo(precision.dtype).eps
        return _ROUNDING * eps * float(statistics["xx"] @ precision)

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
    def reduce(self, statistics: Statistics) -> Statistics:
        """Let p(z) = N(a, L L') be free, take its maximum, and put a and L into mu and W.

        p(x) and the evidence stay as they are; q becomes that of L^-1 (z - a), and the objective
        rises by N KL(N(a, L L') || p(z)). Without it W creeps to its size (Liu, Rubin and Wu,
        1998, https://doi.org/10.1093/biomet/85.4.755).
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
        """Turn W to a greater likelihood at the present Psi, if ``probe`` shows one beside it.

        A stationary point of EM is a saddle where the data vary more in a direction beside W than
        in one of W, in units of the noise. The rise is at least what is found.

        Args:
            statistics: Of the exact posterior at the present parameters.

        Returns:
            Whether W has moved.
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
        """Start from the principal axes of the data, in the units of the model; mu is the mean."""
        x = x.to(self.weight.dtype)
        self.origin.copy_(x.mean(0))
        self.loc.copy_(self.origin)
        centred = x - self.origin
        variance = centred.square().mean(0)
        self._set_noise(variance, variance)
        self.begin(self.condensed(centred), variance)

    def condensed(self, centred: Float[Tensor, "N D"]) -> Float[Tensor, "n D"]:
        """Rows R with R'R the covariance S, at least in its principal axes."""
        fits = _FEW * self.probe.shape[1] <= min(centred.shape)
        if min(centred.shape) > WIDE and fits:
            return krylov_rows(centred, self.probe, self.weight.shape[1])
        return whole_rows(centred)

    def begin(self, rows: Float[Tensor, "n D"], variance: Float[Tensor, " D"]) -> None:
        """Set W and Psi from rows R with R'R the covariance, and its diagonal."""
        self._span(rows, variance, torch.ones_like(variance))

    def _span(self, rows: Tensor, variance: Tensor, unit: Tensor) -> None:
        """W and Psi of PPCA in these units of the entries; Psi is what W leaves of each entry."""
        d, latent_dim = self.weight.shape
        values, axes = _principal(rows / unit, latent_dim)
        share = (axes.square() * values).sum(-1)
        left = ((variance / unit.square() - share).clamp(min=0)) * d / (d - latent_dim)
        self._set_noise(left * unit.square(), variance)
        size = (values - left.mean()).clamp(min=0).sqrt()
        self.weight.copy_(unit[:, None] * axes * size)

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


def whole_rows(centred: Tensor) -> Float[Tensor, "n D"]:
    """Rows R with R'R the covariance, no more than D or 1024 of them, if there are more data."""
    n, d = centred.shape
    if n <= max(d, WIDE):
        return centred / math.sqrt(n)
    values, axes = torch.linalg.eigh(centred.mT @ centred / n)
    return values.clamp(min=0).sqrt()[:, None] * axes.mT


def _principal(rows: Tensor, count: int) -> tuple[Float[Tensor, " Z"], Float[Tensor, "D Z"]]:
    """The greatest eigenvalues of R'R and their eigenvectors."""
    _, values, axes = torch.linalg.svd(rows, full_matrices=False)
    padded = values.new_zeros(max(count, len(values)))
    padded[: len(values)] = values.square()
    return padded[:count], nn.functional.pad(axes, (0, 0, 0, count))[:count].mT

"""Covariances Sigma_c of the components of a Gaussian mixture: the base class."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.options import Configurable

FLOOR = 1e-12  # default lower limit of a variance, as a share of the variance of the data
_ROUNDING = 32  # assumed error of a sum over data, in units of the last place
# Elements of the largest intermediate result per block of rows: 2 MB, which fit in the cache.
_BLOCK = 1 << 18


class Covariance(Configurable, nn.Module, ABC):
    """Covariances Sigma_1 .. Sigma_C of one shape (full, diagonal, spherical), or one tied Sigma.

    A shape represents a symmetric matrix S by its *projection*: the full matrix, the diagonal, or
    the mean of the diagonal. The projection is linear, so second moments are stored as projections
    (G, ...), with G = 1 for a tied covariance and G = C otherwise; the maximum-likelihood
    covariance has the projection of the scatter per datum.

    An implementer writes ``make_parameters``, ``whitening``, ``colour``, ``log_det``, ``trace``,
    ``second_moment``, ``product``, ``project_diagonal``, ``eigenvalues`` and ``assign``, and may
    override ``raised``. ``log_prob``, ``scatter``, ``energy``, ``m_step`` and ``log_prior`` come
    for free.

    A component that holds a single datum, or only equal ones, has an unbounded likelihood. Every
    Sigma_c is therefore at least ``floor`` times the variance V of the data. The M-step maximises
    under this constraint by raising the eigenvalues of V^-1/2 Sigma V^-1/2, so the objective of EM
    still never decreases.

    Args:
        tied: Whether all components share one covariance.
        prior_count: n_0, the number of pseudo-data of each covariance; their scatter is n_0 S_0.
        prior_scale: S_0 = prior_scale^2 times the variance of each dimension of the training data.
        floor: Lower limit of the variance in any direction, as a share of that of the training
            data.

    Raises:
        ConfigurationError: ``prior_count`` or ``floor`` is negative, or ``prior_scale`` is not
            positive.

    Reference: Fraley and Raftery, 2007, https://doi.org/10.1007/s00357-007-0004-5
    """

    variance: Tensor
    """Variance of each dimension of the training data, (D,): the unit of the prior and checks."""

    def __init__(
        self,
        *,
        tied: bool = False,
        prior_count: float = 0.0,
        prior_scale: float = 0.1,
        floor: float = FLOOR,
    ) -> None:
        super().__init__()
        require_positive("prior_scale", prior_scale)
        for name, value in (("prior_count", prior_count), ("floor", floor)):
            if not value >= 0:
                raise ConfigurationError(
                    f"{name} must be at least 0, got {value:g}", hint=f"raise {name}"
                )
        self.tied, self.prior_count, self.prior_scale = tied, prior_count, prior_scale
        self.floor = floor
        self.dim = 0

    @abstractmethod
    def make_parameters(self, num_covariances: int, dim: int) -> None:
        """Register parameters in double precision, such that every covariance is the identity.

        Args:
            num_covariances: G, 1 if tied and C otherwise.
            dim: D.
        """

    @abstractmethod
    def whitening(self) -> Callable[[Tensor], Tensor]:
        """Return the map x -> L^-1 x with Sigma = L L'.

        The map takes (..., C or 1, D) to (..., C or 1, D) and broadcasts over the components.
        """

    @abstractmethod
    def colour(self, noise: Tensor) -> Tensor:
        """Return L e, (..., C or 1, D); its covariance is Sigma for standard normal noise e."""

    @abstractmethod
    def log_det(self) -> Float[Tensor, " G"]:
        """Return log |Sigma| of each covariance, (G,)."""

    @abstractmethod
    def trace(self, projection: Tensor) -> Float[Tensor, " _"]:
        """Return tr(Sigma^-1 S) of each covariance, (G,).

        Args:
            projection: Projection of S, (G or 1, ...).
        """

    @abstractmethod
    def second_moment(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> Tensor:
        """Return the projection of sum_n r_nc x_n x_n', (G, ...).

        Args:
            x: Data, (B, D).
            r: Responsibilities, (B, C); each row adds up to 1.
        """

    @abstractmethod
    def product(self, a: Float[Tensor, "C D"], b: Float[Tensor, "C D"]) -> Tensor:
        """Return the projection of (a_c b_c' + b_c a_c') / 2, (G, ...)."""

    @abstractmethod
    def project_diagonal(self, variance: Float[Tensor, " D"]) -> Tensor:
        """Return the projection of the diagonal matrix with this diagonal (D,), (1, ...)."""

    @abstractmethod
    def eigenvalues(self, projection: Tensor) -> Float[Tensor, "G _"]:
        """Return the eigenvalues of V^-1/2 S V^-1/2, with V the variance of the data, (G, _)."""

    @abstractmethod
    def assign(self, projection: Tensor) -> None:
        """Set Sigma to the positive definite matrix with this projection (G, ...)."""

    def raised(self, projection: Tensor) -> Tensor:
        """Return the projection of S after raising eigenvalues of V^-1/2 S V^-1/2 to ``floor``."""
        return projection.maximum(self.project_diagonal(self.floor * self.variance))

    def set_shape(self, num_components: int, dim: int) -> None:
        """Create the parameters; the model calls this once.

        Args:
            num_components: C.
            dim: D, the dimension of the data.

        Raises:
            ConfigurationError: The covariance already belongs to another model.
        """
        if self.dim:
            raise ConfigurationError(
                f"this {type(self).__name__} covariance already belongs to a model",
                hint="give each model a covariance of its own",
            )
        self.dim = dim
        self.register_buffer("variance", torch.ones(dim, dtype=torch.float64))
        self.make_parameters(1 if self.tied else num_components, dim)

    def log_prob(self, x: Float[Tensor, "B D"], loc: Float[Tensor, "C D"]) -> Float[Tensor, "B C"]:
        """Return log N(x; loc_c, Sigma_c) in nats, (B, C).

        >>> from vi.covariances.spherical import Spherical
        >>> covariance = Spherical(scale=1.0)
        >>> covariance.set_shape(num_components=3, dim=2)
        >>> covariance.log_prob(torch.zeros(5, 2).double(), torch.zeros(3, 2).double())[0]
        tensor([-1.8379, -1.8379, -1.8379], dtype=torch.float64)
        """
        whiten = self.whitening()
        centre = whiten(loc)
        squares = [(whiten(rows[:, None]) - centre).square().sum(-1) for rows in blocks(x, loc)]
        return -0.5 * (torch.cat(squares) + self.log_det() + self.dim * math.log(2 * math.pi))

    def scatter(
        self,
        second: Tensor,
        first: Float[Tensor, "C D"],
        mass: Float[Tensor, " C"],
        loc: Float[Tensor, "C D"],
    ) -> Tensor:
        """Return the projection of sum_n r_nc (x_n - loc_c)(x_n - loc_c)', (G, ...).

        Args:
            second: Projection of sum_n r_nc x_n x_n', (G, ...).
            first: sum_n r_nc x_n, (C, D).
            mass: N_c = sum_n r_nc, (C,).
            loc: Means of the components, (C, D).
        """
        return second + self.product(mass[:, None] * loc - 2 * first, loc)

    def energy(self, scatter: Tensor, mass: Float[Tensor, " C"]) -> Float[Tensor, ""]:
        """Return sum_n,c r_nc log N(x_n; loc_c, Sigma_c) in nats, a scalar.

        Args:
            scatter: Projection of the scatter about loc, (G, ...).
            mass: N_c, (C,).
        """
        constant = mass.sum() * self.dim * math.log(2 * math.pi)
        log_det = self._pooled(mass) @ self.log_det()
        return -0.5 * (constant + log_det + self.trace(scatter).sum())

    def log_prior(self) -> Float[Tensor, ""]:
        """Return -n_0 / 2 sum_c (log |Sigma_c| + tr(Sigma_c^-1 S_0)) in nats, up to a constant."""
        if not self.prior_count:
            return self.variance.new_zeros(())
        return -0.5 * self.prior_count * (self.log_det() + self.trace(self._pseudo())).sum()

    @torch.no_grad()
    def m_step(self, scatter: Tensor, mass: Float[Tensor, " C"]) -> None:
        """Set Sigma_c = (S_c + n_0 S_0) / (N_c + n_0), the maximum of ``energy`` + ``log_prior``.

        Eigenvalues below the floor are raised to it. Without data and without a prior every
        Sigma_c is a maximum, and the variance of all data is used.

        Args:
            scatter: Projection of the scatter S_c, (G, ...).
            mass: N_c, (C,).

        Raises:
            NumericsError: Sigma_c is not positive definite.
        """
        shape = (-1, *[1] * (scatter.ndim - 1))
        count = (self._pooled(mass) + self.prior_count).reshape(shape)
        sigma = (scatter + self.prior_count * self._pseudo()) / count
        sigma = sigma.where(count > 0, self.project_diagonal(self.variance))
        least = self.eigenvalues(sigma).amin(-1)
        if self.floor and (least < self.floor).any():
            sigma = self.raised(sigma)
        else:
            self._require_definite(least, mass)
        self.assign(sigma)

    def rounding(self, second: Tensor, mass: Float[Tensor, " C"], loc: Tensor) -> float:
        """Return how far rounding can move the energy, in nats.

        It matters where variances are small compared with the moments that they are computed from.

        Args:
            second: Projection of sum_n r_nc x_n x_n', (G, ...).
            mass: N_c, (C,).
            loc: mu_c in the coordinates of the data, (C, D), whose own rounding is included.
        """
        eps = torch.finfo(second.dtype).eps
        ulp = eps * loc * mass.sqrt()[:, None]
        return float(
            _ROUNDING * (eps * self.trace(second) + self.trace(self.product(ulp, ulp))).sum()
        )

    @torch.no_grad()
    def calibrate(self, variance: Float[Tensor, " D"]) -> None:
        """Set the variance of the training data, positive in every dimension, (D,)."""
        self.variance.copy_(variance)

    def _pseudo(self) -> Tensor:
        """Return the projection of S_0, (1, ...)."""
        return self.project_diagonal(self.prior_scale**2 * self.variance)

    def _pooled(self, values: Tensor) -> Tensor:
        """Sum over the components if the covariance is tied: (C, ...) -> (G, ...)."""
        return values.sum(0, keepdim=True) if self.tied else values

    def _require_definite(self, least: Tensor, mass: Tensor) -> None:
        """Raise ``NumericsError`` unless every smallest eigenvalue exceeds rounding error."""
        limit = 10 * self.dim * torch.finfo(least.dtype).eps  # rounding error of an eigenvalue
        if (least > limit).all():
            return
        c = int(least.nan_to_num(-1.0).argmin())
        whose = "all components" if self.tied else f"component {c}"
        raise NumericsError(
            f"the covariance of {whose} (weight {self._pooled(mass)[c]:.4g} of {mass.sum():.4g} "
            f"data) is not positive definite: its smallest eigenvalue is {least[c]:.2g} times the "
            "variance of the data",
            hint=f"covariance.floor={FLOOR:g} keeps that part of the data's variance, and "
            f"{PRIOR_HINT} adds one datum of {self.prior_scale**2:g} times it "
            f"(covariance.prior_scale={self.prior_scale:g}, squared)",
        )


PRIOR_HINT = "covariance.prior_count=1 (with model=kmeans: model.covariance.prior_count=1)"


def blocks(x: Float[Tensor, "B D"], loc: Float[Tensor, "C D"]) -> Iterator[Tensor]:
    """Split x into blocks of rows.

    A block's (rows, C, D) intermediate fits in the cache, and the whole (B, C, D) is never
    created.
    """
    yield from x.split(max(_BLOCK // loc.numel(), 128))

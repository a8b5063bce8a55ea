"""The role of a covariance: Sigma_c of every component of a Gaussian mixture."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.options import Configurable

FLOOR = 1e-12  # of the variance of the data
_ROUNDING = 32  # units of the last place that a sum over data may be wrong by
# Elements of the largest intermediate of one block of rows: 2 MB, which stay in the cache.
_BLOCK = 1 << 18


class Covariance(Configurable, nn.Module, ABC):
    """Sigma_1 .. Sigma_C in one shape, or one Sigma for all of them.

    Everything that a shape needs to know of a symmetric matrix S is its *projection* on that
    shape: the entries, the diagonal, or the mean of the diagonal. It is linear, so that second
    moments are kept as projections (G, ...), with G = 1 for a tied covariance and C otherwise, and
    the maximum of the likelihood has the projection of the scatter per datum.

    An implementer writes ``make_parameters``, ``whitening``, ``colour``, ``log_det``, ``trace``,
    ``second_moment``, ``product``, ``project_diagonal``, ``eigenvalues`` and ``assign``, and may
    write ``raised``. Comes for free: ``log_prob``, ``scatter``, ``energy``, ``m_step`` and
    ``log_prior``.

    A component on one datum, or on equal ones, has a likelihood without bound. So every Sigma_c is
    at least ``floor`` times the variance V of the data: the M-step is the maximum under this
    constraint, which raises the eigenvalues of V^-1/2 Sigma V^-1/2, and EM still never falls.

    Args:
        tied: One covariance for all components.
        prior_count: n_0, the pseudo-data of each covariance; their scatter is n_0 S_0.
        prior_scale: S_0 = prior_scale^2 times the variance of each dimension of the training data.
        floor: The least variance in any direction, as a part of that of the training data.

    Raises:
        ConfigurationError: A negative ``prior_count`` or ``floor``, or a ``prior_scale`` that is
            not positive.

    Reference: Fraley and Raftery, 2007, https://doi.org/10.1007/s00357-007-0004-5
    """

    variance: Tensor
    """Of each dimension of the training data (D,): the unit of the prior and of the checks."""

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
        """Register the parameters of ``num_covariances`` identities, in double precision."""

    @abstractmethod
    def whitening(self) -> Callable[[Tensor], Tensor]:
        """The map x -> L^-1 x with Sigma = L L'.

        It takes (..., C or 1, D) to (..., C or 1, D), and broadcasts over the components.
        """

    @abstractmethod
    def colour(self, noise: Tensor) -> Tensor:
        """L e, (..., C or 1, D); of standard normal noise it has the covariance Sigma."""

    @abstractmethod
    def log_det(self) -> Float[Tensor, " G"]:
        """log |Sigma|."""

    @abstractmethod
    def trace(self, projection: Tensor) -> Float[Tensor, " _"]:
        """tr(Sigma^-1 S) for the projection (G or 1, ...) of S."""

    @abstractmethod
    def second_moment(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> Tensor:
        """The projection of sum_n r_nc x_n x_n', (G, ...)."""

    @abstractmethod
    def product(self, a: Float[Tensor, "C D"], b: Float[Tensor, "C D"]) -> Tensor:
        """The projection of (a_c b_c' + b_c a_c') / 2, (G, ...)."""

    @abstractmethod
    def project_diagonal(self, variance: Float[Tensor, " D"]) -> Tensor:
        """The projection of a diagonal matrix, (1, ...)."""

    @abstractmethod
    def eigenvalues(self, projection: Tensor) -> Float[Tensor, "G _"]:
        """Of S measured in the variance of the training data."""

    @abstractmethod
    def assign(self, projection: Tensor) -> None:
        """Set Sigma to the positive definite matrix with this projection (G, ...)."""

    def raised(self, projection: Tensor) -> Tensor:
        """S with no eigenvalue below ``floor``, measured in the variance of the training data."""
        return projection.maximum(self.project_diagonal(self.floor * self.variance))

    def set_shape(self, num_components: int, dim: int) -> None:
        """Told by the model, once, how many components of how many dimensions there are.

        Raises:
            ConfigurationError: It belongs to another model already.
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
        """log N(x; loc_c, Sigma_c) in nats."""
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
        """The projection of sum_n r_nc (x_n - loc_c)(x_n - loc_c)', (G, ...)."""
        return second + self.product(mass[:, None] * loc - 2 * first, loc)

    def energy(self, scatter: Tensor, mass: Float[Tensor, " C"]) -> Float[Tensor, ""]:
        """sum_n r_nc log N(x_n; loc_c, Sigma_c) of a scatter about loc, in nats."""
        constant = mass.sum() * self.dim * math.log(2 * math.pi)
        log_det = self._pooled(mass) @ self.log_det()
        return -0.5 * (constant + log_det + self.trace(scatter).sum())

    def log_prior(self) -> Float[Tensor, ""]:
        """-n_0 / 2 sum_c (log |Sigma_c| + tr(Sigma_c^-1 S_0)), up to a constant, in nats."""
        if not self.prior_count:
            return self.variance.new_zeros(())
        return -0.5 * self.prior_count * (self.log_det() + self.trace(self._pseudo())).sum()

    @torch.no_grad()
    def m_step(self, scatter: Tensor, mass: Float[Tensor, " C"]) -> None:
        """Sigma_c = (S_c + n_0 S_0) / (N_c + n_0), the maximum of ``energy`` + ``log_prior``.

        Where it lies below the floor its eigenvalues are raised to it. Without data and prior any
        Sigma_c is a maximum, and the variance of all data is taken.

        Raises:
            NumericsError: It is not positive definite.
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
        """How far rounding may move the energy, in nats: where variances are small beside moments.

        Args:
            second: As in ``scatter``.
            mass: N_c.
            loc: mu_c in the coordinates of the data, (C, D), whose own rounding counts too.
        """
        eps = torch.finfo(second.dtype).eps
        ulp = eps * loc * mass.sqrt()[:, None]
        return float(
            _ROUNDING * (eps * self.trace(second) + self.trace(self.product(ulp, ulp))).sum()
        )

    @torch.no_grad()
    def calibrate(self, variance: Float[Tensor, " D"]) -> None:
        """Told the variance of the training data, positive in every dimension."""
        self.variance.copy_(variance)

    def _pseudo(self) -> Tensor:
        return self.project_diagonal(self.prior_scale**2 * self.variance)

    def _pooled(self, values: Tensor) -> Tensor:
        """(C, ...) -> (G, ...)."""
        return values.sum(0, keepdim=True) if self.tied else values

    def _require_definite(self, least: Tensor, mass: Tensor) -> None:
        limit = 10 * self.dim * torch.finfo(least.dtype).eps  # below it lies what rounding makes
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
    """Rows of x in groups, so that (rows, C, D) stays in the cache and (B, C, D) is not made."""
    yield from x.split(max(_BLOCK // loc.numel(), 128))

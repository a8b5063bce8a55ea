"""The Gaussian with a low-rank plus diagonal covariance."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
    register_kl,
)
from torch.distributions.utils import lazy_property

from vi.distributions.protocols import OnePass, ScoredDraws
from vi.math import Shape


class LowRankNormal(OnePass, Distribution):
    """Gaussian N(z; m, S (I + U U') S) with S = diag(s): covariance W W' + S^2 with W = S U.

    Solutions and determinants go through the capacitance I + U' U, (R, R), which does not contain
    the scales; neither their size nor their spread affects its condition.

    Args:
        loc: m, (*batch, Z).
        scale: s > 0, (*batch, Z).
        factor: U, (*batch, Z, R), the R directions in units of s.

    Reference: Rezende, Mohamed and Wierstra, 2014, https://arxiv.org/abs/1401.4082, section 4.3

    >>> q = LowRankNormal(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.ones(2, 1))
    >>> q.covariance_matrix
    tensor([[2., 2.],
            [2., 8.]])
    """

    arg_constraints = {}  # pyright: ignore
    support = constraints.real_vector  # pyright: ignore
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, factor: Tensor) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.loc, self.scale, self.factor = loc, scale, factor

    @property
    def mean(self) -> Tensor:
        """m, (*batch, Z)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """s_d^2 (1 + |u_d|^2), (*batch, Z)."""
        return self.scale.square() * (1 + self.factor.square().sum(-1))

    @property
    def covariance_matrix(self) -> Tensor:
        """S (I + U U') S, (*batch, Z, Z)."""
        directions = self.scale.unsqueeze(-1) * self.factor
        return directions @ directions.mT + self.scale.square().diag_embed()

    @lazy_property
    def capacitance_tril(self) -> Tensor:
        """Cholesky factor of I + U' U, (*batch, R, R)."""
        gram = self.factor.mT @ self.factor
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        # Unlike ``cholesky``, ``cholesky_ex`` does not wait for the device to report an error.
        return torch.linalg.cholesky_ex(gram + identity).L

    @lazy_property
    def log_stretch(self) -> Tensor:
        """1/2 log det (I + U U'), (*batch): what the directions add to the log-volume."""
        return self.capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @property
    def half_log_det(self) -> Tensor:
        """1/2 log det of the covariance, (*batch)."""
        return self.scale.log().sum(-1) + self.log_stretch

    @lazy_property
    def _gain(self) -> Tensor:
        """(I + U' U)^-1 U', (*batch, R, Z): maps y to the best coefficients of the directions."""
        return torch.cholesky_solve(self.factor.mT, self.capacitance_tril)

    def squared_length(self, y: Tensor) -> Tensor:
        """Return y' (I + U U')^-1 y, (.., *batch), as min_e |y - U e|^2 + |e|^2.

        This sum of squares keeps its digits if y lies along a long direction, where the usual
        difference of two large numbers loses them.

        Args:
            y: Standardised values (z - m) / s, (.., *batch, Z).
        """
        e = torch.einsum("...rz,...z->...r", self._gain, y)
        rest = y - torch.einsum("...zr,...r->...z", self.factor, e)
        return rest.square().sum(-1) + e.square().sum(-1)

    @property
    def residual(self) -> Tensor:
        """Diagonal of (I + U U')^-1, (*batch, Z), as a sum of squares."""
        units = torch.eye(self.event_shape[0], dtype=self.loc.dtype, device=self.loc.device)
        units = units.view(-1, *[1] * len(self.batch_shape), *self.event_shape)
        return self.squared_length(units).movedim(0, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z) in nats, (*batch)."""
        return self._log_density((value - self.loc) / self.scale)

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw z = m + S (e + U f) with standard normal e and f, (*sample_shape, *batch, Z).

        log p is computed from e + U f, so that m and S do not cost it any digits.
        """
        y = self._standardised(sample_shape)
        return self.loc + self.scale * y, partial(self._log_density, y)

    def entropy(self) -> Tensor:
        """Return H in nats, (*batch)."""
        return 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self.half_log_det

    def _standardised(self, sample_shape: Shape) -> Tensor:
        z, r = self.factor.shape[-2:]
        shape = (*sample_shape, *self.batch_shape, z + r)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        e, f = noise.split([z, r], -1)
        return e + torch.einsum("...zr,...r->...z", self.factor, f)

    def _log_density(self, y: Tensor) -> Tensor:
        squares = self.squared_length(y) + self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * squares - self.half_log_det


def _kl(squares: Tensor, q_half_log_det: Tensor, p_half_log_det: Tensor, dim: int) -> Tensor:
    """Return (squares - Z + log det P - log det Q) / 2, the KL of two Gaussians in nats.

    ``squares`` is tr(P^-1 Q) + (m_q - m_p)' P^-1 (m_q - m_p).
    """
    return 0.5 * (squares - dim) + p_half_log_det - q_half_log_det


def _factors(distribution: Independent) -> Normal:
    """Return the normal factors of a diagonal Gaussian.

    Raises:
        NotImplementedError: The distribution is not a diagonal Gaussian, so torch finds no KL.
    """
    factors = distribution.base_dist
    if not isinstance(factors, Normal) or distribution.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    return factors


def _half_log_det(q: MultivariateNormal) -> Tensor:
    """Return 1/2 log det of the covariance, (*batch)."""
    return q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


@register_kl(LowRankNormal, Independent)
def _kl_low_rank_diagonal(q: LowRankNormal, independent: Independent) -> Tensor:
    p = _factors(independent)
    ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
    squares = (ratio * (1 + q.factor.square().sum(-1)) * ratio + shift.square()).sum(-1)
    return 0.5 * (squares - q.event_shape[0]) - ratio.log().sum(-1) - q.log_stretch


@register_kl(Independent, LowRankNormal)
def _kl_diagonal_low_rank(independent: Independent, p: LowRankNormal) -> Tensor:
    q = _factors(independent)
    ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
    squares = (ratio.square() * p.residual).sum(-1) + p.squared_length(shift)
    return _kl(squares, q.scale.log().sum(-1), p.half_log_det, p.event_shape[0])


@register_kl(LowRankNormal, LowRankNormal)
def _kl_low_rank_low_rank(q: LowRankNormal, p: LowRankNormal) -> Tensor:
    ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
    directions = (ratio.unsqueeze(-1) * q.factor).movedim(-1, 0)
    squares = (ratio.square() * p.residual).sum(-1) + p.squared_length(directions).sum(0)
    squares = squares + p.squared_length(shift)
    return _kl(squares, q.half_log_det, p.half_log_det, p.event_shape[0])


@register_kl(MultivariateNormal, LowRankNormal)
def _kl_full_low_rank(q: MultivariateNormal, p: LowRankNormal) -> Tensor:
    columns = (q.scale_tril / p.scale.unsqueeze(-1)).movedim(-1, 0)
    shift = (q.loc - p.loc) / p.scale
    squares = p.squared_length(columns).sum(0) + p.squared_length(shift)
    return _kl(squares, _half_log_det(q), p.half_log_det, p.event_shape[0])


@register_kl(LowRankNormal, MultivariateNormal)
def _kl_low_rank_full(q: LowRankNormal, p: MultivariateNormal) -> Tensor:
    directions = q.scale.unsqueeze(-1) * q.factor
    root = torch.cat([q.scale.diag_embed(), directions], -1)
    shift = (q.loc - p.loc).unsqueeze(-1)
    whitened = (torch.linalg.solve_triangular(p.scale_tril, c, upper=False) for c in (root, shift))
    squares = sum(w.square().sum((-2, -1)) for w in whitened)
    return _kl(squares, q.half_log_det, _half_log_det(p), q.event_shape[0])  # pyright: ignore

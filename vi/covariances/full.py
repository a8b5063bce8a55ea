"""Full covariances: ellipsoids in any direction."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vi.covariances.base import Covariance

# Up to this many dimensions the products x_i x_j of all rows are formed once and weighted for
# every component by one matrix product. Beyond it they would take more memory than weighting the
# rows separately for each component.
_FEW = 32
_ROWS = 1 << 17


class Full(Covariance):
    """Full covariance Sigma_c = L_c L_c', with L_c lower triangular.

    The parameter stores L with the logarithms of its diagonal. The projection of a matrix is the
    matrix itself, (G, D, D).

    >>> covariance = Full()
    >>> covariance.set_shape(num_components=3, dim=2)
    >>> covariance.log_prob(torch.zeros(5, 2).double(), torch.zeros(3, 2).double()).shape
    torch.Size([5, 3])
    """

    def make_parameters(self, num_covariances: int, dim: int) -> None:
        """Start at L = I."""
        self.factor = nn.Parameter(torch.zeros(num_covariances, dim, dim, dtype=torch.float64))

    def scale_tril(self) -> Tensor:
        """Return L, (G, D, D)."""
        return self.factor.tril(-1) + self.factor.diagonal(dim1=1, dim2=2).exp().diag_embed()

    def whitening(self) -> Callable[[Tensor], Tensor]:
        """Return the map x -> L^-1 x, which uses one matrix product for all components."""
        inverse = self._inverse()
        side_by_side = inverse.flatten(0, 1).mT.contiguous()  # (D, G D)

        def whiten(x: Tensor) -> Tensor:
            if x.shape[-2] == 1:  # one product for all components
                return (x.squeeze(-2) @ side_by_side).unflatten(-1, (-1, self.dim))
            return torch.einsum("...gd,ged->...ge", x, inverse)

        return whiten

    def colour(self, noise: Tensor) -> Tensor:
        """Return L e."""
        return torch.einsum("...gd,ged->...ge", noise, self.scale_tril())

    def log_det(self) -> Tensor:
        """Return 2 sum_d log L_dd."""
        return 2 * self.factor.diagonal(dim1=1, dim2=2).sum(-1)

    def trace(self, projection: Tensor) -> Tensor:
        """Return tr(L^-1 S L^-T)."""
        inverse = self._inverse()
        return (inverse @ projection * inverse).sum((-2, -1))

    def second_moment(self, x: Tensor, r: Tensor) -> Tensor:
        """Return sum_n r_nc x_n x_n', (G, D, D).

        A tied covariance does not use r, whose rows add up to 1.
        """
        if self.tied:
            return (x.mT @ x)[None]
        if x.shape[1] > _FEW:
            return torch.stack([(x * column[:, None]).mT @ x for column in r.unbind(1)])
        return _by_products(x, r)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return (a_c b_c' + b_c a_c') / 2, (G, D, D)."""
        ab = (a.mT @ b)[None] if self.tied else a[:, :, None] * b[:, None, :]
        return (ab + ab.mT) / 2

    def project_diagonal(self, variance: Tensor) -> Tensor:
        """Return the diagonal matrix, (1, D, D)."""
        return variance.diag_embed()[None]

    def eigenvalues(self, projection: Tensor) -> Tensor:
        """Return the eigenvalues of V^-1/2 S V^-1/2, with V the variance of the data, (G, D)."""
        scale = self.variance.sqrt()
        return torch.linalg.eigvalsh(projection / scale / scale[:, None])

    def raised(self, projection: Tensor) -> Tensor:
        """Return S with the eigenvalues of V^-1/2 S V^-1/2 raised to ``floor``, (G, D, D)."""
        scale = self.variance.sqrt()
        values, vectors = torch.linalg.eigh(projection / scale / scale[:, None])
        lifted = (vectors * values.clamp(min=self.floor)[..., None, :]) @ vectors.mT
        return (lifted + lifted.mT) / 2 * scale * scale[:, None]

    def assign(self, projection: Tensor) -> None:
        """Set L to the Cholesky factor of S, computed in the data's standard deviations."""
        scale = self.variance.sqrt()[:, None]
        tril = scale * torch.linalg.cholesky(projection / scale / scale.mT)
        self.factor.copy_(tril.tril(-1) + tril.diagonal(dim1=1, dim2=2).log().diag_embed())

    def _inverse(self) -> Tensor:
        """Return L^-1, (G, D, D)."""
        identity = torch.eye(self.dim, dtype=self.factor.dtype, device=self.factor.device)
        return torch.linalg.solve_triangular(self.scale_tril(), identity, upper=False)


def _by_products(x: Tensor, r: Tensor) -> Tensor:
    """Return sum_n r_nc x_n x_n', (C, D, D), as products of (C, rows) and (rows, D^2) matrices."""
    dim = x.shape[1]
    total = x.new_zeros(r.shape[1], dim * dim)
    size = max(_ROWS // (dim * dim), 128)
    for rows, weights in zip(x.split(size), r.split(size), strict=True):
        total.addmm_(weights.mT, (rows[:, :, None] * rows[:, None, :]).flatten(1))
    return total.unflatten(1, (dim, dim))

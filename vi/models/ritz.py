"""Improvement of a subspace from one product of the covariance with a sketch."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST = 1e-10  # an eigenvalue of the sketch below this part of the greatest is rounding


def better_span(
    basis: Float[Tensor, "D r"],
    image: Float[Tensor, "D r"],
    sketch: Float[Tensor, "D k"],
    sketch_image: Float[Tensor, "D k"],
    count: int,
) -> tuple[Float[Tensor, " c"], Float[Tensor, "D c"], float]:
    """Return the Ritz values and vectors of S in the span of U and of a sketch G.

    The products S U and S G are given. Outside the span of U, S is approximated by Nystroem's A =
    Y (P' Y)^-1 Y' with P = (I - U U') G and Y = (I - U U') S P. Since A is at most S, neither the
    Ritz values nor the rise exceed the true ones.

    Args:
        basis: U, orthonormal.
        image: S U.
        sketch: G, arbitrary directions.
        sketch_image: S G.
        count: Largest number of values to return.

    Returns:
        The greatest Ritz values, their vectors, and the rise of sum f(l) over that in the span of
        U alone, with f(l) = (l - 1 - log l) / 2 for l > 1. The rise is the gain of a PPCA with
        unit noise in nats per datum.

    Reference: Gittens and Mahoney, 2016, https://jmlr.org/papers/v17/gittens16a.html
    """
    beside = sketch - basis @ (basis.mT @ sketch)
    y = sketch_image - image @ (basis.mT @ sketch)
    y = y - basis @ (basis.mT @ y)
    vectors, values = _nystroem(beside, y)
    among, between = basis.mT @ image, image.mT @ vectors
    lower = torch.cat([between.mT, values.diag()], 1)
    whole = torch.cat([torch.cat([among, between], 1), lower])
    ritz, turn = torch.linalg.eigh((whole + whole.mT) / 2)
    ritz, turn = ritz.flip(0)[:count], turn.flip(1)[:, :count]
    before = torch.linalg.eigvalsh((among + among.mT) / 2)
    rise = _won(ritz) - _won(before)
    return ritz, torch.cat([basis, vectors], 1) @ turn, float(rise)


def _nystroem(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvectors and eigenvalues of Y (P' Y)^-1 Y'."""
    inner = p.mT @ y
    values, vectors = torch.linalg.eigh((inner + inner.mT) / 2)
    kept = values > _LEAST * values.max().clamp(min=0)
    left, singular, _ = torch.linalg.svd(
        y @ (vectors[:, kept] * values[kept].rsqrt()), full_matrices=False
    )
    return left, singular.square()


def _won(values: Tensor) -> Tensor:
    """Return sum f(l), f(l) = (l - 1 - log l) / 2 for l > 1 and 0 otherwise."""
    above = values.clamp(min=1)
    return ((above - 1 - above.log()) / 2).sum()

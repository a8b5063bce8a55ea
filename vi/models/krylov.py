"""Principal axes of many high-dimensional data from a few passes over them."""

import torch
from jaxtyping import Float
from torch import Tensor

_SETTLED = 1e-11  # relative rise of the sum of the wanted eigenvalues below which passes end
_BLOCKS = 64  # largest number of passes


def krylov_rows(
    centred: Float[Tensor, "N D"], start: Float[Tensor, "D k"], count: int
) -> Float[Tensor, "n D"]:
    """Return rows R with R'R = Q Q' S Q Q', where S = X'X / N and Q is a basis of a Krylov space.

    The space is spanned by G, S G, S^2 G and so on. Each eigenvalue of R'R is at most the
    corresponding eigenvalue of S. Blocks are added until a further block no longer raises the sum
    of the greatest ones, which then are equal up to rounding.

    Args:
        centred: X, the data minus their mean.
        start: G, arbitrary directions, more than ``count``.
        count: Number of eigenvalues wanted.

    Reference: Musco and Musco, 2015, https://arxiv.org/abs/1504.05477
    """
    basis = torch.linalg.qr(start)[0]
    block, image = basis, _image(centred, basis)
    before = 0.0
    for _ in range(_BLOCKS):
        inner = basis.mT @ image
        values, turn = torch.linalg.eigh((inner + inner.mT) / 2)
        wanted = float(values[-count:].sum())
        if wanted <= before * (1 + _SETTLED) or basis.shape[1] + start.shape[1] > min(
            centred.shape
        ):
            break
        before = wanted
        block = image[:, -block.shape[1] :]
        for _ in range(2):  # the second pass removes what rounding leaves of the first
            block = torch.linalg.qr(block - basis @ (basis.mT @ block))[0]
        basis = torch.cat([basis, block], 1)
        image = torch.cat([image, _image(centred, block)], 1)
    return (basis @ (turn * values.clamp(min=0).sqrt())).mT


def _image(centred: Tensor, block: Tensor) -> Tensor:
    """Return S times the block, S = X'X / N."""
    return centred.mT @ (centred @ block) / len(centred)

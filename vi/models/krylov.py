"""The principal axes of many data of many entries, from a few passes over them."""

import torch
from jaxtyping import Float
from torch import Tensor

_SETTLED = 1e-11  # of the sum of the wanted eigenvalues, which a pass raises by less at the end
_BLOCKS = 64  # passes at most


def krylov_rows(
    centred: Float[Tensor, "N D"], start: Float[Tensor, "D k"], count: int
) -> Float[Tensor, "n D"]:
    """Rows R with R'R = Q Q' S Q Q', and Q a basis of G, S G, S S G and so on; S = X'X / N.

    Its eigenvalues are at most those of S, one by one; the greatest are equal up to rounding as
    soon as a block more does not raise their sum.

    Args:
        centred: X.
        start: G, any directions, more than are wanted.
        count: How many eigenvalues are wanted.

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
        for _ in range(2):  # once more against what rounding leaves
            block = torch.linalg.qr(block - basis @ (basis.mT @ block))[0]
        basis = torch.cat([basis, block], 1)
        image = torch.cat([image, _image(centred, block)], 1)
    return (basis @ (turn * values.clamp(min=0).sqrt())).mT


def _image(centred: Tensor, block: Tensor) -> Tensor:
    return centred.mT @ (centred @ block) / len(centred)

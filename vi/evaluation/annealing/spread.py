"""Whether the weights of annealed chains lie close enough together to state their error."""

from jaxtyping import Float
from torch import Tensor

BIAS = 4.0
"""Squared standard errors by which the mean of annealed estimates may lie too low."""

_LEAST_ESS, _LEAST_ACCEPTANCE = 0.6, 0.2


def error_is_known(
    effective: Float[Tensor, " N"], acceptance: Float[Tensor, " N"], num_chains: int
) -> bool:
    """Return whether an interval of the mean of annealed estimates would cover.

    The chains of a datum are few, so the data are judged together: on average the effective sample
    size is at least 0.6 of the chains, and 20 % of the moves are accepted. From Gaussian q's that
    were too wide, too narrow, shifted, or diagonal beside a correlated posterior, the mean then
    lay within 2 standard errors and four times the mean squared error: chains from a narrow q miss
    more than their weights show, up to 3.4 times that (``tests/laws/test_annealed_intervals.py``).
    Below 0.45 it did not always.

    Args:
        effective: Effective number of chains of each datum.
        acceptance: Share of accepted moves.
        num_chains: C.
    """
    share = effective.mean().item() / num_chains
    return share >= _LEAST_ESS and acceptance.mean().item() >= _LEAST_ACCEPTANCE

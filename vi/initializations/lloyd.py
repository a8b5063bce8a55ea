"""Lloyd's algorithm (k-means): from initial centres to a local minimum of squared distances."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vi.initializations.kmeans_plus_plus import drawn

_ITERATIONS = 300
_ENOUGH = 1e-6  # relative decrease of the inertia below which the iteration stops
_ROWS = 1 << 14  # rows that are compared with all centres together
_FEW = 32  # up to this many dimensions differences cost no more than matrix products


@dataclass(frozen=True)
class Partition:
    """Partition of data among centres.

    Args:
        centres: (C, D).
        nearest: Index of the centre of each datum, (N,).
        inertia: Sum of the squared distances of the data from their centres.
    """

    centres: Float[Tensor, "C D"]
    nearest: Int[Tensor, " N"]
    inertia: float


def lloyd(x: Float[Tensor, "N D"], centres: Float[Tensor, "C D"]) -> Partition:
    """Alternate between assigning data to the nearest centre and moving centres to their means.

    A centre without data moves to the datum farthest from its centre. The data should be roughly
    centred at 0, because distances otherwise lose digits.

    Args:
        x: Data, (N, D).
        centres: Initial centres, (C, D).

    Reference: Lloyd, 1982, https://doi.org/10.1109/TIT.1982.1056489

    >>> lloyd(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[0.0], [1.0]])).inertia
    0.5
    """
    before = float("inf")
    for _ in range(_ITERATIONS):
        squared, nearest = _to_nearest(x, centres)
        if not float(squared.sum()) < before * (1 - _ENOUGH):
            break
        before = float(squared.sum())
        _fill(x, nearest, squared, len(centres))
        centres = _means(x, nearest, len(centres))
    return partition(x, centres)


def partition(x: Float[Tensor, "N D"], centres: Float[Tensor, "C D"]) -> Partition:
    """Assign the data to these centres, at least one datum to each.

    >>> found = partition(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[0.0], [8.0]]))
    >>> found.nearest, found.inertia
    (tensor([0, 0, 1]), 2.0)
    """
    squared, nearest = _to_nearest(x, centres)
    _fill(x, nearest, squared, len(centres))
    pairs = zip(x.split(_ROWS), nearest.split(_ROWS), strict=True)
    inertia = sum(float((rows - centres[own]).square().sum()) for rows, own in pairs)
    return Partition(centres, nearest, inertia)


def swapped(x: Float[Tensor, "N D"], start: Partition, trials: int) -> Partition:
    """Improve a partition by moving its least useful centre to a distant datum, several times.

    Each trial moves the centre whose removal costs least to a datum drawn with probability
    proportional to its squared distance, then runs ``lloyd``; the partition with the lower inertia
    is kept.

    Args:
        x: Data, (N, D).
        start: Partition to improve.
        trials: Number of swaps tried.

    Reference: Fraenti, 2018, https://doi.org/10.1186/s40537-018-0122-y; the choice of the centre
    is that of Lattanzi and Sohler, 2019, https://proceedings.mlr.press/v97/lattanzi19a.html
    """
    best = start
    for _ in range(trials):
        if not best.inertia or len(best.centres) == 1:
            break
        tried = lloyd(x, _swap(x, best.centres))
        best = min(best, tried, key=lambda one: one.inertia)
    return best


def _swap(x: Tensor, centres: Tensor) -> Tensor:
    """Return the centres with the least useful one moved to a randomly drawn, distant datum."""
    values, which = _distances(x, centres).topk(2, largest=False)
    first, second = values.square().unbind(1)
    nearest = which[:, 0]
    datum = x[drawn((x - centres[nearest]).square().sum(1), 1)]
    new = _distances(x, datum).square()[:, 0]
    missed = second.minimum(new) - first.minimum(new)
    loss = missed.new_zeros(len(centres)).index_add_(0, nearest, missed)
    return centres.index_copy(0, loss.argmin()[None], datum)


def _to_nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance from the nearest centre and its index, (N,) each."""
    found = [_distances(rows, centres).min(1) for rows in x.split(_ROWS)]
    return torch.cat([f.values for f in found]).square(), torch.cat([f.indices for f in found])


def _distances(x: Tensor, centres: Tensor) -> Float[Tensor, "N C"]:
    """Return the distances (N, C), from differences if the dimension is small."""
    exact = x.shape[1] <= _FEW
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
    return torch.cdist(x, centres, compute_mode=mode)


def _means(x: Tensor, group: Tensor, count: int) -> Float[Tensor, "C D"]:
    """Return the mean of each group, (C, D)."""
    total = x.new_zeros(count, x.shape[1]).index_add_(0, group, x)
    return total / torch.bincount(group, minlength=count)[:, None]


def _fill(x: Tensor, nearest: Tensor, squared: Tensor, count: int) -> None:
    """Assign to each empty group the datum that is farthest from all centres so far."""
    empty = torch.bincount(nearest, minlength=count) == 0
    for c in empty.nonzero()[:, 0]:
        farthest = squared.argmax()
        nearest[farthest] = c
        squared.copy_(squared.minimum((x - x[farthest]).square().sum(1)))

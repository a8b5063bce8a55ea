"""Moments of each entry of data (N, *event), in which NaN marks a missing entry."""

import torch
from torch import Tensor

_NEAR_FLOOR = 1e-2  # a parameter starts at least this share of the floor above the floor


def known(x: Tensor) -> Tensor:
    """Return the number of data in which each entry is known, at least 1, (*event).

    >>> known(torch.tensor([[1.0, torch.nan], [3.0, torch.nan]]))
    tensor([2, 1])
    """
    return (~x.isnan()).sum(0).clamp_min(1)


def mean_of(x: Tensor) -> Tensor:
    """Return the mean of each entry, (*event); 0 for an entry without data.

    >>> mean_of(torch.tensor([[1.0, torch.nan], [3.0, torch.nan]]))
    tensor([2., 0.])
    """
    return x.nanmean(0).nan_to_num()


def variance_of(x: Tensor) -> Tensor:
    """Return the variance of each entry about its mean, (*event), with the divisor N.

    >>> variance_of(torch.tensor([[1.0, 5.0], [3.0, torch.nan]]))
    tensor([1., 0.])
    """
    return (x - mean_of(x)).square().nansum(0) / known(x)


def spread_of(x: Tensor) -> Tensor:
    """Return the standard deviation of each entry, (*event); 1 for an entry that does not vary.

    >>> spread_of(torch.tensor([[1.0, 5.0], [5.0, torch.nan]]))
    tensor([2., 1.])
    """
    deviation = variance_of(x).sqrt()
    return deviation.where(deviation > 0, torch.ones_like(deviation))


def counts_of(x: Tensor, num: int) -> Tensor:
    """Return how often each entry takes each of the values 0 .. num - 1, (*event, num).

    Args:
        x: Data (N, *event) of whole numbers, NaN where an entry is missing.
        num: Number of values.

    >>> counts_of(torch.tensor([[0.0, 2.0], [0.0, torch.nan]]), 3)
    tensor([[2, 0, 0],
            [0, 0, 1]])
    """
    flat = x.flatten(1)
    place = torch.arange(flat.shape[1], device=x.device) * num
    index = flat.nan_to_num().round().long() + place
    counted = index[~flat.isnan()].bincount(minlength=num * flat.shape[1])
    return counted.view(*x.shape[1:], num)


def before_softplus(value: Tensor, floor: float) -> Tensor:
    """Return the r with floor + softplus(r) = value.

    Values close to the floor or below it are first raised to 1.01 floor, as r would otherwise be
    minus infinity or undefined.

    >>> before_softplus(torch.tensor(3.0), floor=1.0)
    tensor(1.8546)
    """
    y = (value - floor).clamp_min(_NEAR_FLOOR * floor)
    return y + (-(-y).expm1()).log()

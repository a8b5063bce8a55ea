"""Moments of data (N, *event) entry by entry; NaN where an entry is missing."""

import torch
from torch import Tensor

_NEAR_FLOOR = 1e-2  # of the floor: so far above it a parameter starts at least


def known(x: Tensor) -> Tensor:
    """In how many data each entry is known, at least 1; (*event)."""
    return (~x.isnan()).sum(0).clamp_min(1)


def mean_of(x: Tensor) -> Tensor:
    """0 of an entry without data; (*event)."""
    return x.nanmean(0).nan_to_num()


def variance_of(x: Tensor) -> Tensor:
    """About the mean, over the number of data; (*event)."""
    return (x - mean_of(x)).square().nansum(0) / known(x)


def spread_of(x: Tensor) -> Tensor:
    """The standard deviation; 1 of an entry that does not vary; (*event)."""
    deviation = variance_of(x).sqrt()
    return deviation.where(deviation > 0, torch.ones_like(deviation))


def counts_of(x: Tensor, num: int) -> Tensor:
    """How often each entry is each of the numbers 0 .. num - 1: (*event, num).

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
    """The r with floor + softplus(r) = value; of values near the floor and below, just above it.

    >>> before_softplus(torch.tensor(3.0), floor=1.0)
    tensor(1.8546)
    """
    y = (value - floor).clamp_min(_NEAR_FLOOR * floor)
    return y + (-(-y).expm1()).log()

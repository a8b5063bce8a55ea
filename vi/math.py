"""Small mathematical functions that several parts share."""

import math

import torch
from torch import Tensor

Shape = tuple[int, ...]

_MASK = (1 << 64) - 1


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """Return log (1/K) sum_k exp x_k along one axis, without overflow.

    Args:
        x: Values with K entries along ``dim``.
        dim: The axis that is averaged and removed.

    >>> import torch
    >>> log_mean_exp(torch.tensor([1000.0, 1000.0]), 0)
    tensor(1000.)
    """
    return x.logsumexp(dim) - math.log(x.shape[dim])


def inverse_softplus(y: float) -> float:
    """Return the x with log(1 + exp x) = y, for y > 0.

    >>> round(math.log1p(math.exp(inverse_softplus(0.3))), 12)
    0.3
    """
    return y + math.log(-math.expm1(-y))


def mix(*keys: int) -> int:
    """Combine several integers into one 63-bit seed; neighbouring keys give unrelated seeds.

    This is the finaliser of splitmix64, folded over the keys; their order matters.

    Reference: Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195

    >>> mix(1, 2) == mix(1, 2), mix(1, 2) == mix(2, 1), mix(1, 2) >= 0
    (True, False, True)
    """
    state = 0
    for key in keys:
        state = (state ^ key) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of this device, and no others.

    Args:
        seed: Seed of both generators.
        device: CPU or CUDA device; without an index, the current CUDA device.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)

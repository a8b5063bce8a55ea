"""Small pieces of mathematics that several floors need."""

import math

import torch
from torch import Tensor

Shape = tuple[int, ...]

_MASK = (1 << 64) - 1


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """log (1/K) sum_k exp x_k along one axis, without overflow.

    >>> import torch
    >>> log_mean_exp(torch.tensor([1000.0, 1000.0]), 0)
    tensor(1000.)
    """
    return x.logsumexp(dim) - math.log(x.shape[dim])


def inverse_softplus(y: float) -> float:
    """The x with log(1 + exp x) = y > 0.

    >>> round(math.log1p(math.exp(inverse_softplus(0.3))), 12)
    0.3
    """
    return y + math.log(-math.expm1(-y))


def mix(*keys: int) -> int:
    """One 63-bit seed from several integers; neighbours give unrelated seeds.

    The finaliser of splitmix64 (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195), folded
    over the keys.

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
    """Seed torch's default generators for the CPU and for this device, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)

"""Fresh bits from grey levels, as fast as random numbers can be had."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_ONES = 0x0101010101010101  # a byte 1 in each of eight places
_SIGNS = _ONES * 0x80 - (1 << 64)


def draw_bits(grey: UInt8[Tensor, " *shape"], levels: int) -> Float[Tensor, " *shape"]:
    """x ~ Bernoulli(grey / levels), exact for the set's own number of levels.

    An integer u, uniform on 0 .. levels - 1, is compared with the stored byte b, and
    P(u < b) = b / levels. A comparison with one of 256 random bytes would give b / 256.

    >>> draw_bits(torch.tensor([[0, 255]], dtype=torch.uint8), levels=255)
    tensor([[0., 1.]])
    """
    bits = torch.empty(grey.shape, device=grey.device)
    return torch.lt(_uniform_below(levels, grey), grey, out=bits)


def _uniform_below(levels: int, like: UInt8[Tensor, " *shape"]) -> UInt8[Tensor, " *shape"]:
    """Integers uniform on 0 .. levels - 1; on the processor eight of them from one draw."""
    power_of_two = 256 % levels == 0
    if like.device.type != "cpu" or not (power_of_two or levels == 255):
        kind = {"dtype": torch.uint8, "device": like.device}
        return torch.randint(0, levels, like.shape, **kind)
    number = math.ceil(like.numel() / 8)
    words = _words(number) if power_of_two else _words_without_255(number)
    drawn = words.view(torch.uint8)[: like.numel()].view(like.shape)
    return drawn.bitwise_and_(levels - 1) if power_of_two else drawn


def _words(number: int) -> Tensor:
    """All 64 bits random."""
    return torch.empty(number, dtype=torch.int64).random_(-(1 << 63), None)


def _words_without_255(number: int) -> Tensor:
    """Those random words in which no byte is 255: each byte is then uniform on 0 .. 254.

    Three words in a hundred are refused, so some more are drawn than are needed.
    """
    words = _words(number + number // 16 + 16)
    # a byte of ~words is zero where subtracting 1 from it borrows from a sign that was not set
    has_255 = (-1 - _ONES - words).bitwise_and_(words).bitwise_and_(_SIGNS)
    kept = words.masked_select(has_255 == 0)
    missing = number - len(kept)
    return torch.cat([kept, _words_without_255(missing)]) if missing > 0 else kept[:number]

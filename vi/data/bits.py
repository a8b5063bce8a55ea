"""Fast drawing of random bits from grey levels."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def draw_bits(grey: UInt8[Tensor, " *shape"], levels: int) -> Float[Tensor, " *shape"]:
    """Draw x ~ Bernoulli(grey / levels), exact for any number of levels up to 256.

    An integer u, uniform on 0 .. levels - 1, is compared with the stored byte b, and
    P(u < b) = b / levels. A comparison with one of 256 random bytes would give b / 256 instead.

    Args:
        grey: Stored bytes b, of any shape.
        levels: The grey level at which a bit is always 1.

    Returns:
        Bits as floating point, of the same shape.

    >>> draw_bits(torch.tensor([[0, 255]], dtype=torch.uint8), levels=255)
    tensor([[0., 1.]])
    """
    bits = torch.empty(grey.shape, device=grey.device)
    return torch.lt(_uniform_below(levels, grey), grey, out=bits)


def _uniform_below(levels: int, like: UInt8[Tensor, " *shape"]) -> UInt8[Tensor, " *shape"]:
    """Return integers uniform on 0 .. levels - 1; on a processor, eight per 64-bit draw."""
    power_of_two = 256 % levels == 0
    if like.device.type != "cpu" or not (power_of_two or levels == 255):
        kind = {"dtype": torch.uint8, "device": like.device}
        return torch.randint(0, levels, like.shape, **kind)
    number = math.ceil(like.numel() / 8)
    words = _words(number) if power_of_two else _words_without_255(number)
    drawn = words.view(torch.uint8)[: like.numel()].view(like.shape)
    return drawn.bitwise_and_(levels - 1) if power_of_two else drawn


def _words(number: int) -> Tensor:
    """Return random 64-bit words."""
    return torch.empty(number, dtype=torch.int64).random_(-(1 << 63), None)


def _words_without_255(number: int) -> Tensor:
    """Return random words in which no byte is 255, so that each byte is uniform on 0 .. 254.

    About three of a hundred words contain such a byte and are drawn again.
    """
    words = _words(number)
    drawn = words.view(torch.uint8)
    is_255 = drawn == torch.full_like(drawn, 255)  # many times faster than drawn == 255
    refused = is_255.view(torch.int64).nonzero().squeeze(1)
    if len(refused) > 0:
        words.index_copy_(0, refused, _words_without_255(len(refused)))
    return words

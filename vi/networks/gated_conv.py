"""Gated convolutional networks for images of any size."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import nn

from vi.networks.images import ImageDecoder, ImageEncoder, Resize, Size, halve, keep, small_image

_CHANNELS = -3


class GatedConvEncoder(ImageEncoder):
    """Encoder of gated 3x3 convolutions with stride 2, then one linear layer.

        h = (A * x + a) sigmoid(B * x + b)

    One convolution computes both A * x and B * x. Each halves height and width, rounding up, so
    odd sizes are allowed. A context is appended to the image as constant channels.

    Args:
        channels: Channels of h after each convolution.

    Reference: Dauphin, Fan, Auli and Grangier, 2017, https://arxiv.org/abs/1612.08083

    >>> import torch
    >>> GatedConvEncoder([32, 64])((1, 28, 28), (80,))(torch.zeros(5, 7, 1, 28, 28)).shape
    torch.Size([5, 7, 80])
    """

    option = "gated_conv"

    def __init__(self, channels: Sequence[int]) -> None:
        self.channels = tuple(channels)

    def layers(self, n_in: int) -> Iterator[nn.Module]:
        """Yield a convolution with stride 2 and a gate for each of ``channels``."""
        for n_gated, n_out in pairwise((n_in, *self.channels)):
            yield halve(n_gated, 2 * n_out)
            yield nn.GLU(_CHANNELS)


class GatedConvDecoder(ImageDecoder):
    """Decoder of one gated linear layer, then per convolution: double the size, convolve, gate.

        h = (A * x + a) sigmoid(B * x + b)

    The last convolution has no gate. The sizes are those of ``GatedConvEncoder`` in reverse, so
    every image size is reproduced exactly.

    Args:
        channels: Input channels of each convolution, from the smallest image to the largest.

    Reference: Dauphin, Fan, Auli and Grangier, 2017, https://arxiv.org/abs/1612.08083

    >>> import torch
    >>> GatedConvDecoder([64, 32])((40,), (1, 28, 28))(torch.zeros(5, 7, 40)).shape
    torch.Size([5, 7, 1, 28, 28])
    """

    option = "gated_conv"

    def __init__(self, channels: Sequence[int]) -> None:
        self.channels = tuple(channels)

    def layers(self, n_in: int, sizes: Sequence[Size], n_out: int) -> Iterator[nn.Module]:
        """Yield the small image, then a gate, a resize and a convolution for each size."""
        smallest, *larger = sizes
        yield from small_image(n_in, 2 * self.channels[0], smallest)
        made = (*(2 * n for n in self.channels[1:]), n_out)  # output channels, gates included
        for n_gated, n_made, size in zip(self.channels, made, larger, strict=True):
            yield nn.GLU(_CHANNELS)
            yield Resize(size)
            yield keep(n_gated, n_made)

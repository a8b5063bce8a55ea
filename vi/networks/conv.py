"""Convolutional networks for images of any size."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import nn

from vi.networks.images import ImageDecoder, ImageEncoder, Resize, Size, halve, keep, small_image


class ConvEncoder(ImageEncoder):
    """Encoder of 3x3 convolutions with stride 2, each with an activation, then one linear layer.

    Each convolution halves height and width, rounding up, so odd sizes are allowed. A context is
    appended to the image as constant channels.

    Args:
        channels: Output channels of each convolution.
        activation: Module after each convolution; ReLU if None.

    >>> import torch
    >>> ConvEncoder([32, 64])((1, 28, 28), (80,))(torch.zeros(5, 7, 1, 28, 28)).shape
    torch.Size([5, 7, 80])
    """

    option = "conv"

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def layers(self, n_in: int) -> Iterator[nn.Module]:
        """Yield a convolution with stride 2 and an activation for each of ``channels``."""
        for channels in pairwise((n_in, *self.channels)):
            yield halve(*channels)
            yield self.activation


class ConvDecoder(ImageDecoder):
    """Decoder of one linear layer, then for each convolution: double the size, convolve 3x3.

    The sizes are those of ``ConvEncoder`` in reverse, so every image size is reproduced exactly.

    Args:
        channels: Input channels of each convolution, from the smallest image to the largest.
        activation: Module before each convolution; ReLU if None.

    >>> import torch
    >>> ConvDecoder([64, 32])((40,), (1, 28, 28))(torch.zeros(5, 7, 40)).shape
    torch.Size([5, 7, 1, 28, 28])
    """

    option = "conv"

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def layers(self, n_in: int, sizes: Sequence[Size], n_out: int) -> Iterator[nn.Module]:
        """Yield the small image, then an activation, a resize and a convolution for each size."""
        smallest, *larger = sizes
        yield from small_image(n_in, self.channels[0], smallest)
        for channels, size in zip(pairwise((*self.channels, n_out)), larger, strict=True):
            yield self.activation
            yield Resize(size)
            yield keep(*channels)

"""Convolutional networks for images of any size."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import nn

from vi.networks.images import ImageDecoder, ImageEncoder, Resize, Size, halve, keep, small_image


class ConvEncoder(ImageEncoder):
    """3x3 convolutions of stride 2 with an activation after each, then one linear layer.

    Each convolution halves height and width, rounding up, so odd sizes are welcome. A context
    enters as constant planes beside the image's channels.

    Args:
        channels: Output channels of each convolution.
        activation: The module after each convolution; ReLU if not given.

    >>> import torch
    >>> ConvEncoder([32, 64])((1, 28, 28), (80,))(torch.zeros(5, 7, 1, 28, 28)).shape
    torch.Size([5, 7, 80])
    """

    option = "conv"

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def layers(self, n_in: int) -> Iterator[nn.Module]:
        """See ``ImageEncoder``."""
        for channels in pairwise((n_in, *self.channels)):
            yield halve(*channels)
            yield self.activation


class ConvDecoder(ImageDecoder):
    """One linear layer, then for each convolution: double the size, convolve 3x3.

    The sizes are those of ``ConvEncoder`` backwards, so any image size comes out exactly.

    Args:
        channels: Input channels of each convolution, from the smallest image to the largest.
        activation: The module before each convolution; ReLU if not given.

    >>> import torch
    >>> ConvDecoder([64, 32])((40,), (1, 28, 28))(torch.zeros(5, 7, 40)).shape
    torch.Size([5, 7, 1, 28, 28])
    """

    option = "conv"

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def layers(self, n_in: int, sizes: Sequence[Size], n_out: int) -> Iterator[nn.Module]:
        """See ``ImageDecoder``."""
        smallest, *larger = sizes
        yield from small_image(n_in, self.channels[0], smallest)
        for channels, size in zip(pairwise((*self.channels, n_out)), larger, strict=True):
            yield self.activation
            yield Resize(size)
            yield keep(*channels)

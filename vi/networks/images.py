"""Networks for images of any size: base classes of an encoder and the decoder that mirrors it."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vi.errors import ConfigurationError
from vi.math import Shape
from vi.networks.base import Network, require_widths
from vi.networks.events import OnImages, OnVectors

Size = tuple[int, int]


class ImageEncoder(Network):
    """Encoder of layers that halve an image once for each of ``channels``, then a linear layer.

    Sizes are rounded up, so odd ones are allowed. A context is appended to the image as constant
    channels. An implementer sets ``option``, the name in ``configs/encoder``, and ``channels``,
    and writes ``layers``; the linear layer and the checks come for free.
    """

    option: ClassVar[str]
    """Name of the network in ``configs/encoder``, for messages."""
    channels: tuple[int, ...]
    """Output channels after each halving."""

    @abstractmethod
    def layers(self, n_in: int) -> Iterator[nn.Module]:
        """Yield layers (N, n_in, H, W) -> (N, channels[-1], h, w).

        They halve the image once for each of ``channels``.
        """

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build the convolutional layers and the linear layer for images of this shape.

        Args:
            in_shape: (channels, height, width).
            out_shape: Event shape of the output.
            context_dim: Width of the context; 0 for none.

        Raises:
            ConfigurationError: ``in_shape`` is not an image, or is too small to be halved so
                often.
        """
        _require_image("encoder", self.option, in_shape, self.channels)
        layers = list(self.layers(in_shape[0] + context_dim))
        n_in = self.channels[-1] * math.prod(_halved(in_shape, len(self.channels))[-1])
        head = nn.Linear(n_in, math.prod(out_shape))
        return OnImages(nn.Sequential(*layers, nn.Flatten(), head), out_shape)


class ImageDecoder(Network):
    """Decoder of a linear layer, then layers that double an image once for each of ``channels``.

    The sizes are those of ``ImageEncoder`` in reverse, so every image size is reproduced exactly.
    An implementer sets ``option``, the name in ``configs/decoder``, and ``channels``, and writes
    ``layers``; the sizes and the checks come for free.
    """

    option: ClassVar[str]
    """Name of the network in ``configs/decoder``, for messages."""
    channels: tuple[int, ...]
    """Input channels of each convolution, from the smallest image to the largest."""

    @abstractmethod
    def layers(self, n_in: int, sizes: Sequence[Size], n_out: int) -> Iterator[nn.Module]:
        """Yield layers (N, n_in) -> (N, n_out, H, W), through images of all these sizes.

        Args:
            n_in: Width of the input, context included.
            sizes: (height, width) from the smallest image to the output.
            n_out: Channels of the output.
        """

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build the layers for images of this shape.

        Args:
            in_shape: Event shape of the input, which is flattened.
            out_shape: (channels, height, width).
            context_dim: Width of the context; 0 for none.

        Raises:
            ConfigurationError: ``out_shape`` is not an image, or is too small to be halved so
                often.
        """
        _require_image("decoder", self.option, out_shape, self.channels)
        sizes = _halved(out_shape, len(self.channels))[::-1]
        n_in = math.prod(in_shape) + context_dim
        layers = nn.Sequential(*self.layers(n_in, sizes, out_shape[0]))
        return OnVectors(layers, len(in_shape), out_shape)


class Resize(nn.Module):
    """Resize an image to (height, width) by nearest-neighbour interpolation.

    Followed by a convolution it avoids the checkerboard artefacts of strided transposed
    convolutions (Odena, Dumoulin and Olah, 2016, https://doi.org/10.23915/distill.00003).

    >>> import torch
    >>> Resize((2, 4))(torch.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return the resized image, (N, C, h, w) -> (N, C, *size)."""
        return F.interpolate(x, self.size)


def halve(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a 3x3 convolution with stride 2, which halves the size, rounding up.

    >>> import torch
    >>> halve(1, 8)(torch.zeros(5, 1, 7, 7)).shape
    torch.Size([5, 8, 4, 4])
    """
    return nn.Conv2d(n_in, n_out, 3, stride=2, padding=1)


def keep(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(n_in, n_out, 3, padding=1)


def small_image(n_in: int, channels: int, size: Size) -> tuple[nn.Module, nn.Module]:
    """Return a linear map (N, n_in) -> (N, channels, *size), as a layer and a reshape."""
    shape = (channels, *size)
    return nn.Linear(n_in, math.prod(shape)), nn.Unflatten(-1, shape)


def _halved(shape: Shape, times: int) -> list[Size]:
    """Return (height, width) of the image and after each halving, rounding up."""
    sizes = [(shape[1], shape[2])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _require_image(group: str, option: str, shape: Shape, channels: Sequence[int]) -> None:
    """Raise an error unless the shape is an image large enough for all halvings."""
    if not channels:
        raise ConfigurationError(
            f"{group}={option} needs at least one of {group}.channels, got none",
            hint=f"{group}=mlp {group}.hidden=[] is an affine map",
        )
    require_widths(f"{group}.channels", channels)
    least = 2 ** len(channels)
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ConfigurationError(
            f"{group}={option} with {len(channels)} layers needs images (channels, height, width) "
            f"of at least {least} x {least}, got shape {tuple(shape)}",
            hint=f"{group}=mlp takes any shape; fewer {group}.channels take smaller images",
        )

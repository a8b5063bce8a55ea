"""Convolutional networks for images of any size: an encoder, and the decoder that mirrors it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vi.errors import ConfigurationError
from vi.math import Shape
from vi.networks.base import Network
from vi.networks.products import Linear

_KERNEL = 3


class ConvEncoder(Network):
    """3x3 convolutions of stride 2, then one linear layer.

    Each layer halves height and width, rounding up, so odd sizes are welcome. A context enters as
    constant planes beside the image's channels.

    Args:
        channels: Output channels of each convolution.
        activation: The module after each convolution; ReLU if not given.

    >>> ConvEncoder([32, 64])((1, 28, 28), (80,))(torch.zeros(5, 7, 1, 28, 28)).shape
    torch.Size([5, 7, 80])
    """

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """See ``Network``.

        Raises:
            ConfigurationError: The input is no image, or smaller than the strides reduce.
        """
        _require_image("encoder", in_shape, len(self.channels))
        layers: list[nn.Module] = []
        n_in = in_shape[0] + context_dim
        for n_out in self.channels:
            layers += [nn.Conv2d(n_in, n_out, _KERNEL, 2, 1), self.activation]
            n_in = n_out
        height, width = _sizes(in_shape, len(self.channels))[-1]
        head = Linear(n_in * height * width, math.prod(out_shape))
        return _ImageToVector(nn.Sequential(*layers, nn.Flatten(), head), out_shape)


class ConvDecoder(Network):
    """One linear layer, then for each convolution: double the size, convolve 3x3.

    The sizes are those of ``ConvEncoder`` backwards, so any image size comes out exactly.
    Nearest-neighbour doubling avoids the checkerboards of strided transposed convolutions
    (Odena, Dumoulin and Olah, 2016, doi:10.23915/distill.00003).

    Args:
        channels: Input channels of each convolution, from the smallest image to the largest.
        activation: The module before each convolution; ReLU if not given.

    >>> ConvDecoder([64, 32])((40,), (1, 28, 28))(torch.zeros(5, 7, 40)).shape
    torch.Size([5, 7, 1, 28, 28])
    """

    def __init__(self, channels: Sequence[int], activation: nn.Module | None = None) -> None:
        self.channels = tuple(channels)
        self.activation = activation or nn.ReLU()

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """See ``Network``.

        Raises:
            ConfigurationError: The output is no image, or smaller than the strides reduce.
        """
        _require_image("decoder", out_shape, len(self.channels))
        sizes = _sizes(out_shape, len(self.channels))[::-1]
        first = (self.channels[0], *sizes[0])
        layers: list[nn.Module] = [
            Linear(math.prod(in_shape) + context_dim, math.prod(first)),
            nn.Unflatten(-1, first),
        ]
        for n_in, n_out, size in zip(
            self.channels, [*self.channels[1:], out_shape[0]], sizes[1:], strict=True
        ):
            layers += [self.activation, _Resize(size), nn.Conv2d(n_in, n_out, _KERNEL, 1, 1)]
        return _VectorToImage(nn.Sequential(*layers))


def _require_image(name: str, shape: Shape, num_layers: int) -> None:
    if len(shape) != 3 or min(shape[1:]) < 2**num_layers:
        raise ConfigurationError(
            f"{name}=conv with {num_layers} layers needs images (channels, height, width) of at "
            f"least {2**num_layers} x {2**num_layers}, got shape {tuple(shape)}",
            hint=f"{name}=mlp takes any shape; fewer {name}.channels take smaller images",
        )


def _sizes(shape: Shape, num_layers: int) -> list[tuple[int, int]]:
    """(height, width) of the image and after each halving, rounding up."""
    sizes = [(shape[1], shape[2])]
    for _ in range(num_layers):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class _Resize(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size)


class _ImageToVector(nn.Module):
    """Any leading axes, an image and a context -> a vector."""

    def __init__(self, layers: nn.Sequential, out_shape: Shape) -> None:
        super().__init__()
        self.layers = layers
        self.out_shape = out_shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is not None:
            planes = context[..., None, None].expand(*x.shape[:-3], -1, *x.shape[-2:])
            x = torch.cat([x, planes], dim=-3)
        y = self.layers(x.reshape(-1, *x.shape[-3:]))
        return y.reshape(*x.shape[:-3], *self.out_shape)


class _VectorToImage(nn.Module):
    """Any leading axes, a vector and a context -> an image."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if context is not None:
            z = torch.cat([z, context.expand(*z.shape[:-1], -1)], dim=-1)
        y = self.layers(z.reshape(-1, z.shape[-1]))
        return y.reshape(*z.shape[:-1], *y.shape[1:])

"""Residual networks for images of any size."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn

from vi.errors import ConfigurationError, require_positive
from vi.networks.images import ImageDecoder, ImageEncoder, Resize, Size, halve, keep, small_image
from vi.networks.normalization import GroupNormalization, Normalization


class ResidualEncoder(ImageEncoder):
    """Encoder of 3x3 convolutions with stride 2, residual blocks after each, and a linear layer.

        x <- x + conv(act(norm(conv(act(norm(x))))))

    act(norm(x)) follows the blocks of one size. Each convolution with stride 2 halves height and
    width, rounding up, so odd sizes are allowed. A context is appended to the image as constant
    channels.

    Args:
        channels: Channels after each halving.
        num_blocks: Residual blocks after each halving.
        activation: ReLU if None.
        normalization: ``GroupNormalization()`` if None.

    Raises:
        ConfigurationError: ``num_blocks`` is not positive, or the activation works in place.

    Reference: He, Zhang, Ren and Sun, 2016, https://arxiv.org/abs/1603.05027

    >>> import torch
    >>> ResidualEncoder([32, 64])((1, 28, 28), (80,))(torch.zeros(5, 7, 1, 28, 28)).shape
    torch.Size([5, 7, 80])
    """

    option = "residual"

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: int = 1,
        activation: nn.Module | None = None,
        normalization: Normalization | None = None,
    ) -> None:
        self.channels = tuple(channels)
        self.residual = _Residual(num_blocks, activation, normalization)

    def layers(self, n_in: int) -> Iterator[nn.Module]:
        """Yield a convolution with stride 2 and the residual blocks for each of ``channels``."""
        for channels in pairwise((n_in, *self.channels)):
            yield halve(*channels)
            yield from self.residual.stage(channels[-1])


class ResidualDecoder(ImageDecoder):
    """Decoder of one linear layer, then at each size: residual blocks, double the size, convolve.

        x <- x + conv(act(norm(conv(act(norm(x))))))

    act(norm(x)) follows the blocks of one size. The sizes are those of ``ResidualEncoder`` in
    reverse, so every image size is reproduced exactly.

    Args:
        channels: Channels before each doubling, from the smallest image to the largest.
        num_blocks: Residual blocks before each doubling.
        activation: ReLU if None.
        normalization: ``GroupNormalization()`` if None.

    Raises:
        ConfigurationError: ``num_blocks`` is not positive, or the activation works in place.

    Reference: He, Zhang, Ren and Sun, 2016, https://arxiv.org/abs/1603.05027

    >>> import torch
    >>> ResidualDecoder([64, 32])((40,), (1, 28, 28))(torch.zeros(5, 7, 40)).shape
    torch.Size([5, 7, 1, 28, 28])
    """

    option = "residual"

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: int = 1,
        activation: nn.Module | None = None,
        normalization: Normalization | None = None,
    ) -> None:
        self.channels = tuple(channels)
        self.residual = _Residual(num_blocks, activation, normalization)

    def layers(self, n_in: int, sizes: Sequence[Size], n_out: int) -> Iterator[nn.Module]:
        """Yield the small image, then blocks, a resize and a convolution for each size."""
        smallest, *larger = sizes
        yield from small_image(n_in, self.channels[0], smallest)
        for channels, size in zip(pairwise((*self.channels, n_out)), larger, strict=True):
            yield from self.residual.stage(channels[0])
            yield Resize(size)
            yield keep(*channels)


class _Residual:
    """Residual stages that encoder and decoder share."""

    def __init__(
        self, num_blocks: int, activation: nn.Module | None, normalization: Normalization | None
    ) -> None:
        require_positive("num_blocks", num_blocks)
        if getattr(activation, "inplace", False):
            raise ConfigurationError(
                "an in-place activation would overwrite the input of a residual block",
                hint="activation.inplace=false",
            )
        self.num_blocks = num_blocks
        self.activation = activation or nn.ReLU()
        self.normalization = normalization or GroupNormalization()

    def stage(self, channels: int) -> Iterator[nn.Module]:
        """Yield the blocks of one size, then a normalisation and an activation."""
        for _ in range(self.num_blocks):
            yield _Block(nn.Sequential(*self._convolved(channels), *self._convolved(channels)))
        yield from self._activated(channels)

    def _convolved(self, channels: int) -> Iterator[nn.Module]:
        """Yield normalisation, activation and a convolution that keeps the size."""
        yield from self._activated(channels)
        yield keep(channels, channels)

    def _activated(self, channels: int) -> Iterator[nn.Module]:
        """Yield normalisation and activation."""
        yield self.normalization(channels)
        yield self.activation


class _Block(nn.Module):
    """Residual block x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)

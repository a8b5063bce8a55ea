"""Doubling the size of an image and convolving it, computed from the small image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vi.networks.images import Resize


def is_doubling(resize: nn.Module, convolution: nn.Module, x: Tensor) -> bool:
    """Whether ``doubled`` can replace two layers for images x (N, C, h, w).

    Args:
        resize: The layer that enlarges; must double height and width.
        convolution: The layer that follows; must be a plain 3x3 convolution with padding 1.
        x: The small images, on a processor.
    """
    return (
        type(resize) is Resize
        and _is_of_three(convolution)
        and resize.size == (2 * x.shape[-2], 2 * x.shape[-1])
        and x.is_cpu
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _is_of_three(layer: nn.Module) -> bool:
    """Whether a layer is a plain 3x3 convolution that keeps the size and pads with 0."""
    return type(layer) is nn.Conv2d and (
        (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))
        and (layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), 1, "zeros")
    )


def doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Enlarge images to twice their size and convolve with a 3x3 kernel, in one step.

    Enlarging repeats every pixel in a 2x2 square, so that at most four of the nine pixels under
    the kernel differ. The two layers are thus a transposed convolution of stride 2, whose 4x4
    weights are sums of the 3x3 ones. It needs 4/9 of the multiplications and never stores the
    large image. The order of the sums differs, which changes the result by about 1e-6 of its size.

    Args:
        x: The small images, (N, C, h, w).
        weight: Kernel of the convolution, (O, C, 3, 3).
        bias: (O,), or None.

    Returns:
        (N, O, 2h, 2w).

    >>> doubled(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3), None)[0, 0, 0].tolist()
    [4.0, 6.0, 6.0, 4.0]
    """
    kernel = _summed(_summed(weight, -1), -2).transpose(0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


def _summed(weight: Tensor, dim: int) -> Tensor:
    """Turn the three weights along an axis into the four of the transposed convolution."""
    before, here, after = weight.unbind(dim)
    return torch.stack((after, here + after, before + here, before), dim)

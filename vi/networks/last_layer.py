"""The last layer of a network, and where it starts."""

import math

import torch
from torch import Tensor, nn

from vi.math import Shape


def last_layer(network: nn.Module, out_shape: Shape) -> nn.Linear | nn.Conv2d | None:
    """The affine map that gives a network's output of this shape; None where there is none."""
    for module in reversed(list(network.modules())):
        if isinstance(module, nn.Linear):
            return module if module.out_features == math.prod(out_shape) else None
        if isinstance(module, nn.Conv2d):
            return module if module.out_channels == out_shape[0] else None
    return None


@torch.no_grad()
def shift_last_layer(network: nn.Module, out_shape: Shape, bias: Tensor) -> None:
    """Set what a network says where its last layer sees nothing.

    Args:
        network: Is left as it is where its last layer is neither linear nor a convolution.
        out_shape: Of its output.
        bias: As many numbers, flat; of all pixels of a channel a convolution takes the mean.
    """
    layer = last_layer(network, out_shape)
    if layer is not None and layer.bias is not None:
        layer.bias.copy_(_for_each(layer, bias))


@torch.no_grad()
def scale_last_layer(network: nn.Module, out_shape: Shape, factor: Tensor) -> None:
    """Multiply the weights of the last layer, an output at a time, with factors of at most 1."""
    layer = last_layer(network, out_shape)
    if layer is not None:
        rows = _for_each(layer, factor.clamp_max(1.0))
        layer.weight.mul_(rows.view(-1, *[1] * (layer.weight.ndim - 1)))


def _for_each(layer: nn.Linear | nn.Conv2d, outputs: Tensor) -> Tensor:
    """One number for each output of the layer."""
    return outputs.view(len(layer.weight), -1).mean(1)

"""The last layer of a network, and its initial values."""

import math

import torch
from torch import Tensor, nn

from vi.math import Shape


def last_layer(network: nn.Module, out_shape: Shape) -> nn.Linear | nn.Conv2d | None:
    """Return the affine layer that produces a network's output, or None.

    Args:
        network: The last of its linear layers and convolutions is returned if its size fits.
        out_shape: Event shape of the output.
    """
    for module in reversed(list(network.modules())):
        if isinstance(module, nn.Linear):
            return module if module.out_features == math.prod(out_shape) else None
        if isinstance(module, nn.Conv2d):
            return module if module.out_channels == out_shape[0] else None
    return None


@torch.no_grad()
def shift_last_layer(network: nn.Module, out_shape: Shape, bias: Tensor) -> None:
    """Set the bias of the last layer, that is the output where the layer's input is 0.

    Args:
        network: Left unchanged if its last layer is neither linear nor a convolution.
        out_shape: Event shape of the output.
        bias: One number per output, flattened; a convolution uses the mean over the pixels of a
            channel.

    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> shift_last_layer(network, (2,), torch.tensor([5.0, 6.0]))
    >>> network[-1].bias.data
    tensor([5., 6.])
    """
    layer = last_layer(network, out_shape)
    if layer is not None and layer.bias is not None:
        layer.bias.copy_(_for_each(layer, bias))


@torch.no_grad()
def scale_last_layer(network: nn.Module, out_shape: Shape, factor: Tensor) -> None:
    """Multiply the weights of the last layer by one factor per output, limited to 1.

    Args:
        network: Left unchanged if its last layer is neither linear nor a convolution.
        out_shape: Event shape of the output.
        factor: One factor per output, flattened; a convolution uses the mean over the pixels of a
            channel.

    >>> network = nn.Linear(1, 2)
    >>> _ = nn.init.ones_(network.weight)
    >>> scale_last_layer(network, (2,), torch.tensor([0.5, 3.0]))
    >>> network.weight.data.flatten()
    tensor([0.5000, 1.0000])
    """
    layer = last_layer(network, out_shape)
    if layer is not None:
        rows = _for_each(layer, factor.clamp_max(1.0))
        layer.weight.mul_(rows.view(-1, *[1] * (layer.weight.ndim - 1)))


def _for_each(layer: nn.Linear | nn.Conv2d, outputs: Tensor) -> Tensor:
    """Return one number per output of the layer, averaged over the pixels of a channel."""
    return outputs.view(len(layer.weight), -1).mean(1)

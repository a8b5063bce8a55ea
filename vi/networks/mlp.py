"""A multi-layer perceptron."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vi.math import Shape
from vi.networks.base import Network, flatten_event
from vi.networks.products import Linear


class MLP(Network):
    """Linear layers with an activation between them; the event is flattened first.

    Args:
        hidden: Widths of the hidden layers; none makes an affine map.
        activation: The module between the layers; ReLU if not given.

    >>> MLP([500, 500])((1, 28, 28), (80,))(torch.zeros(7, 1, 28, 28)).shape
    torch.Size([7, 80])
    """

    def __init__(self, hidden: Sequence[int], activation: nn.Module | None = None) -> None:
        self.hidden = tuple(hidden)
        self.activation = activation or nn.ReLU()

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """See ``Network``."""
        widths = [math.prod(in_shape) + context_dim, *self.hidden, math.prod(out_shape)]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [Linear(n_in, n_out), self.activation]
        return _Perceptron(nn.Sequential(*layers[:-1]), in_shape, out_shape)


class _Perceptron(nn.Module):
    def __init__(self, layers: nn.Sequential, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__()
        self.layers = layers
        self.in_rank = len(in_shape)
        self.out_shape = out_shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = flatten_event(x, self.in_rank)
        if context is not None:
            x = torch.cat([x, context.expand(*x.shape[:-1], -1)], dim=-1)
        y = self.layers(x)
        return y if len(self.out_shape) == 1 else y.unflatten(-1, self.out_shape)

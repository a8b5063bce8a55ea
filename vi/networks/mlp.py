"""A multi-layer perceptron."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from vi.math import Shape
from vi.networks.base import Network, require_widths
from vi.networks.events import OnVectors


class MLP(Network):
    """Multi-layer perceptron: linear layers with an activation between them.

    The event is flattened first. Hidden layers are initialised by ``hidden_linear``, so that a
    deep network passes on as much of its input as a shallow one; the last layer keeps torch's
    initialisation.

    Args:
        hidden: Widths of the hidden layers; an empty list gives an affine map.
        activation: Module between the layers; ReLU if None.

    Raises:
        ConfigurationError: A width is not positive.

    >>> import torch
    >>> MLP([500, 500])((1, 28, 28), (80,))(torch.zeros(7, 1, 28, 28)).shape
    torch.Size([7, 80])
    """

    def __init__(self, hidden: Sequence[int], activation: nn.Module | None = None) -> None:
        require_widths("hidden", hidden)
        self.hidden = tuple(hidden)
        self.activation = activation or nn.ReLU()

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build linear layers from the flattened event and context to the flattened output."""
        widths = (math.prod(in_shape) + context_dim, *self.hidden, math.prod(out_shape))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths[:-1]):
            layers += [hidden_linear(n_in, n_out), self.activation]
        layers.append(nn.Linear(widths[-2], widths[-1]))
        return OnVectors(nn.Sequential(*layers), len(in_shape), out_shape)


def hidden_linear(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer for a rectifier: weights N(0, 2 / n_in), biases 0.

    The variance keeps the size of the activations from layer to layer.

    Reference: He, Zhang, Ren and Sun, 2015, https://arxiv.org/abs/1502.01852, equation 10

    >>> hidden_linear(3, 2).bias.data
    tensor([0., 0.])
    """
    linear = nn.Linear(n_in, n_out)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear

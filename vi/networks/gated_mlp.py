"""A multi-layer perceptron with gated layers."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from vi.math import Shape
from vi.networks.base import Network, require_widths
from vi.networks.events import OnVectors


class GatedMLP(Network):
    """Multi-layer perceptron of gated linear layers and a final linear one.

        h = (A x + a) sigmoid(B x + b)

    The event is flattened first. One matrix product computes both A x and B x. With 300 and 300
    units this is the network of the VampPrior paper.

    Args:
        hidden: Widths of h in each gated layer; an empty list gives an affine map.

    Raises:
        ConfigurationError: A width is not positive.

    Reference: Dauphin, Fan, Auli and Grangier, 2017, https://arxiv.org/abs/1612.08083; Tomczak and
    Welling, 2018, https://arxiv.org/abs/1705.07120

    >>> import torch
    >>> GatedMLP([300, 300])((1, 28, 28), (80,))(torch.zeros(7, 1, 28, 28)).shape
    torch.Size([7, 80])
    """

    def __init__(self, hidden: Sequence[int]) -> None:
        require_widths("hidden", hidden)
        self.hidden = tuple(hidden)

    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build gated layers from the flattened event and context to the flattened output."""
        widths = (math.prod(in_shape) + context_dim, *self.hidden)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, 2 * n_out), nn.GLU(-1)]
        head = nn.Linear(widths[-1], math.prod(out_shape))
        return OnVectors(nn.Sequential(*layers, head), len(in_shape), out_shape)

"""The prior of several latent layers, generated from the top downwards."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.chain import Chain, Layers, diagonal_gaussian, layer_sizes
from vi.distributions.prior import Prior
from vi.math import Shape
from vi.networks.mlp import MLP


class ChainPrior(Prior):
    """Layered prior p(z) = N(z_L; 0, I) p(z_(L-1)|z_L) .. p(z_1|z_2), each a diagonal Gaussian.

    Args:
        latent_dims: Z_1, .., Z_L; z is one vector of length Z_1 + .. + Z_L. A single number is
            split into two layers.
        hidden: Widths of the hidden layers of the network between two latent layers.
        activation: Activation of those networks; tanh if None.
        decode_all: Whether the likelihood reads every layer; else only z_1.

    Raises:
        ConfigurationError: There are no layers, or a size is not positive.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 3

    >>> ChainPrior([3, 2], hidden=[10])().event_shape, ChainPrior([3, 2]).decoder_input_shape
    (torch.Size([5]), (3,))
    """

    support = constraints.real
    top: Tensor

    def __init__(
        self,
        latent_dims: int | Sequence[int],
        hidden: Sequence[int] = (100,),
        activation: nn.Module | None = None,
        *,
        decode_all: bool = False,
    ) -> None:
        sizes = layer_sizes(latent_dims)
        super().__init__((sum(sizes),))
        self.latent_dims = sizes
        self.decode_all = decode_all
        between = MLP(hidden, activation or nn.Tanh())
        self.downwards = nn.ModuleList(
            between((above,), (2 * below,)) for above, below in pairwise(sizes[::-1])
        )
        self.register_buffer("top", torch.zeros(2 * sizes[-1]), persistent=False)

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (Z_1 + .. + Z_L,)."""

        def layers() -> Layers:
            z = yield diagonal_gaussian(self.top)
            for network in self.downwards:
                z = yield diagonal_gaussian(network(z))

        return Chain(layers, self.latent_dims, torch.Size(), from_last=True)

    @property
    def decoder_input_shape(self) -> Shape:
        """(Z_1,), or (Z_1 + .. + Z_L,) with ``decode_all``."""
        return tuple(self.event_shape) if self.decode_all else (self.latent_dims[0],)

    def decoder_input(self, z: Tensor) -> Tensor:
        """Return z_1, or all layers with ``decode_all``."""
        return z if self.decode_all else z[..., : self.latent_dims[0]]

"""The posterior of several latent layers, inferred from the data upwards."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.chain import Chain, Layers, diagonal_gaussian, layer_sizes
from vi.distributions.conditional import ConditionalDistribution
from vi.math import Shape
from vi.networks.mlp import MLP


class ChainPosterior(ConditionalDistribution):
    """Layered posterior q(z|x) = q(z_1|x) q(z_2|z_1) .. q(z_L|z_(L-1)), each a diagonal Gaussian.

    The encoder parametrises the first layer; networks that belong to this head parametrise the
    others.

    Args:
        latent_dims: Z_1, .., Z_L; z is one vector of length Z_1 + .. + Z_L. A single number is
            split into two layers.
        hidden: Widths of the hidden layers of the network between two latent layers.
        activation: Activation of those networks; tanh if None.

    Raises:
        ConfigurationError: There are no layers, or a size is not positive.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 3

    >>> import torch
    >>> q = ChainPosterior([3, 2], hidden=[10])(torch.zeros(5, 6))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([5]))
    """

    support = constraints.real

    def __init__(
        self,
        latent_dims: int | Sequence[int],
        hidden: Sequence[int] = (100,),
        activation: nn.Module | None = None,
    ) -> None:
        sizes = layer_sizes(latent_dims)
        super().__init__((sum(sizes),))
        self.latent_dims = sizes
        between = MLP(hidden, activation or nn.Tanh())
        self.upwards = nn.ModuleList(
            between((below,), (2 * above,)) for below, above in pairwise(sizes)
        )

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of mu and log sigma of the first layer, (Z_1,) each."""
        return ((self.latent_dims[0],),) * 2

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (Z_1 + .. + Z_L,).

        Args:
            params: mu and log sigma of the first layer, (*batch, 2 Z_1).
        """

        def layers() -> Layers:
            z = yield diagonal_gaussian(params, training=self.training)
            for network in self.upwards:
                z = yield diagonal_gaussian(network(z), training=self.training)

        return Chain(layers, self.latent_dims, params.shape[:-1])

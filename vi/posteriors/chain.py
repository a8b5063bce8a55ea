"""Two and more layers of latents, inferred from the data upwards."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.chain import Chain, Layers, diagonal_gaussian, layer_sizes
from vi.distributions.conditional import ConditionalDistribution
from vi.math import Shape
from vi.networks.mlp import MLP


class ChainPosterior(ConditionalDistribution):
    """q(z|x) = q(z_1|x) q(z_2|z_1) .. q(z_L|z_(L-1)), each a diagonal Gaussian.

    The encoder gives the first layer, networks of this head give the others.

    Args:
        latent_dims: Z_1, .., Z_L; z is one vector of their sum. Of one number, its two halves.
        hidden: Widths of the hidden layers between two layers of latents.
        activation: Between those; tanh if not given.

    Raises:
        ConfigurationError: No layer, or one without dimensions.

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
        """mu and log sigma of the first layer."""
        return ((self.latent_dims[0],),) * 2

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, 2 Z_1) -> q with batch_shape (*batch) and event_shape (Z_1 + .. + Z_L,)."""

        def layers() -> Layers:
            z = yield diagonal_gaussian(params, training=self.training)
            for network in self.upwards:
                z = yield diagonal_gaussian(network(z), training=self.training)

        return Chain(layers, self.latent_dims, params.shape[:-1])

"""Chains of latent layers, each conditioned on the layers before it, as one flat event."""

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.log_scale import bounded
from vi.distributions.normal import Normal
from vi.distributions.protocols import EstimatedMoments, OnePass, ScoredDraws
from vi.errors import ConfigurationError, require_positive
from vi.math import Shape

Layers = Generator[Distribution, Tensor, None]
"""A generator over the layers in the order of sampling.

It yields the distribution of a layer, receives the values of that layer through ``send``, and then
yields the distribution of the next layer given them.
"""


class Chain(OnePass, EstimatedMoments, Distribution):
    """Chain p(z_1, .., z_L) = prod_l p(z_l | layers before it) over one vector z = (z_1, .., z_L).

    Sampling and scoring each pass through all layers once; ``log_prob_layers`` returns the terms
    of the layers separately. ``mean`` and ``variance`` are not moments of z: they follow the path
    on which each layer is conditioned on the means of the layers before it.

    Args:
        layers: Returns a new generator (``Layers``) that yields the layers in the order of
            sampling.
        sizes: Widths Z_1 .. Z_L of the layers, in their order within z.
        batch_shape: Batch shape of the whole chain.
        from_last: Sampling goes from z_L to z_1, as in a prior; else from z_1 to z_L.

    >>> def layers() -> Layers:
    ...     z = yield diagonal_gaussian(torch.zeros(5, 4))
    ...     yield diagonal_gaussian(torch.cat([z, z], -1))
    >>> z = Chain(layers, [2, 2], torch.Size([5])).sample((3,))
    >>> z.shape, Chain(layers, [2, 2], torch.Size([5])).log_prob_layers(z).shape
    (torch.Size([3, 5, 4]), torch.Size([2, 3, 5]))
    """

    arg_constraints = {}  # pyright: ignore
    support = constraints.real_vector  # pyright: ignore
    has_rsample = True

    def __init__(
        self,
        layers: Callable[[], Layers],
        sizes: Sequence[int],
        batch_shape: torch.Size,
        *,
        from_last: bool = False,
    ) -> None:
        super().__init__(batch_shape, torch.Size([sum(sizes)]), validate_args=False)
        self.layers, self.sizes, self.from_last = layers, list(sizes), from_last

    def conditionals(self, z: Tensor) -> list[Distribution]:
        """Return p(z_l | layers before it) at these z (*batch, Z), for l = 1 .. L."""
        given = self._in_drawn_order(list(z.split(self.sizes, -1)))
        return self._walk(lambda number, _: given[number])[1]

    def log_prob_layers(self, z: Tensor) -> Tensor:
        """Return log p(z_l | layers before it) in nats for each layer, (L, *batch)."""
        return self._log_layers(self.conditionals(z), z)

    def _log_layers(self, conditionals: list[Distribution], z: Tensor) -> Tensor:
        parts = zip(conditionals, z.split(self.sizes, -1), strict=True)
        # The layer that is sampled first may lack batch axes that the later layers have.
        each = torch.broadcast_tensors(*(p.log_prob(part) for p, part in parts))
        return torch.stack(each)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z) in nats, (*batch): the sum over the layers."""
        return self.log_prob_layers(value).sum(0)

    def rsample_and_conditionals(
        self, sample_shape: Shape = ()
    ) -> tuple[Tensor, list[Distribution]]:
        """Draw z and return it with ``conditionals`` at z, in one pass.

        Returns:
            z (*sample_shape, *batch, Z), and the L distributions of its layers.
        """
        parts, conditionals = self._walk(lambda _, p: _draw(p, sample_shape, self.batch_shape))
        return torch.cat(parts, -1), conditionals

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw z (*sample_shape, *batch, Z); its log p sums over the layers of the same pass."""
        z, conditionals = self.rsample_and_conditionals(sample_shape)
        return z, lambda: self._log_layers(conditionals, z).sum(0)

    @property
    def mean(self) -> Tensor:
        """Means along the path of means, (*batch, Z)."""
        return torch.cat(self._path()[0], -1)

    @property
    def variance(self) -> Tensor:
        """Variances along the path of means, (*batch, Z)."""
        return torch.cat([p.variance for p in self._path()[1]], -1)

    def _path(self) -> tuple[list[Tensor], list[Distribution]]:
        return self._walk(lambda _, p: p.mean)

    def _walk(
        self, choose: Callable[[int, Distribution], Tensor]
    ) -> tuple[list[Tensor], list[Distribution]]:
        """Visit the layers; return the value chosen for each and its distribution, l = 1 .. L."""
        layers = self.layers()
        parts, conditionals = [], [next(layers)]
        for number in range(len(self.sizes)):
            parts.append(choose(number, conditionals[-1]))
            if number + 1 < len(self.sizes):
                conditionals.append(layers.send(parts[-1]))
        layers.close()
        return self._in_drawn_order(parts), self._in_drawn_order(conditionals)

    def _in_drawn_order(self, layers: list) -> list:
        """Convert between the order within z and the order of sampling, in either direction."""
        return layers[::-1] if self.from_last else layers


def layer_sizes(latent_dims: int | Sequence[int]) -> tuple[int, ...]:
    """Return the sizes Z_1 .. Z_L of the layers; one number is split into two halves.

    Args:
        latent_dims: The size of each layer, or the total of two layers. A total of 1 makes one
            layer.

    Raises:
        ConfigurationError: There are no layers, or a size is not positive.

    >>> layer_sizes(5), layer_sizes([5, 2])
    ((3, 2), (5, 2))
    """
    if isinstance(latent_dims, int):
        halves = latent_dims - latent_dims // 2, latent_dims // 2
        latent_dims = halves if latent_dims > 1 else (latent_dims,)
    if not latent_dims:
        raise ConfigurationError("latent_dims is empty", hint="give the size of every layer")
    for latent_dim in latent_dims:
        require_positive("latent_dims", latent_dim)
    return tuple(latent_dims)


def _draw(p: Distribution, sample_shape: Shape, batch_shape: torch.Size) -> Tensor:
    """Draw one layer; only the first one adds ``sample_shape``, later ones inherit it from it."""
    return p.rsample(torch.Size(sample_shape) if p.batch_shape == batch_shape else torch.Size())


def diagonal_gaussian(params: Tensor, *, training: bool = True) -> Independent:
    """Return N(mu, diag(sigma^2)) with params = (mu, log sigma).

    Args:
        params: (*batch, 2 Z).
        training: If false, log sigma is limited by ``bounded``.

    Returns:
        A distribution with batch_shape (*batch) and event_shape (Z,).

    >>> diagonal_gaussian(torch.zeros(5, 6)).event_shape
    torch.Size([3])
    """
    loc, log_scale = params.chunk(2, -1)
    log_scale = bounded(log_scale, training=training)
    return Independent(Normal(loc, log_scale.exp(), log_scale), 1)

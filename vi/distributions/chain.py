"""Layers of latents, each given those before it: one flat event."""

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.distributions.log_scale import bounded
from vi.distributions.normal import Normal
from vi.distributions.protocols import EstimatedMoments, OnePass, ScoredDraws
from vi.errors import ConfigurationError, require_positive
from vi.math import Shape

Layers = Generator[Distribution, Tensor, None]
"""Gives the distribution of a layer, is sent what was drawn of it, gives that of the next."""


class Chain(OnePass, EstimatedMoments, Distribution):
    """p(z_1, .., z_L) = prod_l p(z_l | the layers before it), z = (z_1, .., z_L) as one vector.

    Draws go through all layers once, and so do densities; ``log_prob_layers`` tells them apart.
    ``mean`` and ``variance`` are not moments but a path: of each layer given the means before it.

    Args:
        layers: Makes a generator that gives the layers in the order in which they are drawn.
        sizes: Of the layers z_1 .. z_L, in the order in which they stand in the event.
        batch_shape: Of the whole.
        from_last: They are drawn from z_L to z_1.

    >>> def layers() -> Layers:
    ...     z = yield diagonal_gaussian(torch.zeros(5, 4))
    ...     yield diagonal_gaussian(torch.cat([z, z], -1))
    >>> z = Chain(layers, [2, 2], torch.Size([5])).sample((3,))
    >>> z.shape, Chain(layers, [2, 2], torch.Size([5])).log_prob_layers(z).shape
    (torch.Size([3, 5, 4]), torch.Size([2, 3, 5]))
    """

    arg_constraints = {}  # pyright: ignore
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
        """p(z_l | the layers before it) at these z, for z_1 .. z_L."""
        given = self._in_drawn_order(list(z.split(self.sizes, -1)))
        return self._walk(lambda number, _: given[number])[1]

    def log_prob_layers(self, z: Tensor) -> Tensor:
        """log p(z_l | the layers before it) in nats, (L, *batch)."""
        return self._log_layers(self.conditionals(z), z)

    def _log_layers(self, conditionals: list[Distribution], z: Tensor) -> Tensor:
        parts = zip(conditionals, z.split(self.sizes, -1), strict=True)
        # a layer drawn first may not know all the axes that those after it see
        each = torch.broadcast_tensors(*(p.log_prob(part) for p, part in parts))
        return torch.stack(each)

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum over the layers, in nats."""
        return self.log_prob_layers(value).sum(0)

    def rsample_and_conditionals(
        self, sample_shape: Shape = ()
    ) -> tuple[Tensor, list[Distribution]]:
        """Draws (*sample_shape, *batch, Z) and ``conditionals`` at them, in one pass."""
        parts, conditionals = self._walk(lambda _, p: _draw(p, sample_shape, self.batch_shape))
        return torch.cat(parts, -1), conditionals

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draws (*sample_shape, *batch, Z), and the sum over the layers."""
        z, conditionals = self.rsample_and_conditionals(sample_shape)
        return z, lambda: self._log_layers(conditionals, z).sum(0)

    @property
    def mean(self) -> Tensor:
        """The path of means."""
        return torch.cat(self._path()[0], -1)

    @property
    def variance(self) -> Tensor:
        """The variances along the path of means."""
        return torch.cat([p.variance for p in self._path()[1]], -1)

    def _path(self) -> tuple[list[Tensor], list[Distribution]]:
        return self._walk(lambda _, p: p.mean)

    def _walk(
        self, choose: Callable[[int, Distribution], Tensor]
    ) -> tuple[list[Tensor], list[Distribution]]:
        """What is chosen of every layer, and its distribution, for z_1 .. z_L."""
        layers = self.layers()
        parts, conditionals = [], [next(layers)]
        for number in range(len(self.sizes)):
            parts.append(choose(number, conditionals[-1]))
            if number + 1 < len(self.sizes):
                conditionals.append(layers.send(parts[-1]))
        layers.close()
        return self._in_drawn_order(parts), self._in_drawn_order(conditionals)

    def _in_drawn_order(self, layers: list) -> list:
        """From the order of the event to the order of drawing, or back."""
        return layers[::-1] if self.from_last else layers


def layer_sizes(latent_dims: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes Z_1 .. Z_L of the layers; those of one number are its halves.

    Raises:
        ConfigurationError: There is no layer, or one without dimensions.

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
    """The first layer is drawn so many times, those after it once for each draw before them."""
    return p.rsample(torch.Size(sample_shape) if p.batch_shape == batch_shape else torch.Size())


def diagonal_gaussian(params: Tensor, *, training: bool = True) -> Independent:
    """N(mu, sigma^2) with params = (mu, log sigma), (*batch, 2 Z), ``bounded`` unless training.

    >>> diagonal_gaussian(torch.zeros(5, 6)).event_shape
    torch.Size([3])
    """
    loc, log_scale = params.chunk(2, -1)
    log_scale = bounded(log_scale, training=training)
    return Independent(Normal(loc, log_scale.exp(), log_scale), 1)

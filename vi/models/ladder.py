"""The ladder: inference and generation share one way down through the layers."""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.chain import Chain, Layers, diagonal_gaussian
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.observed import Observed
from vi.errors import require_positive
from vi.models.base import LatentVariableModel
from vi.networks.base import NetworkFactory
from vi.networks.mlp import MLP


class Ladder(LatentVariableModel):
    """p(x, z) = p(z_L) p(z_(L-1)|z_L) .. p(z_1|z_2 .. z_L) p(x|z), q(z|x) in the same order.

    p(z_L) = N(0, I). Upwards, features d_1 .. d_L of x each propose a Gaussian for their layer.
    Downwards, the layers drawn so far give p(z_l|z_>l); q(z_l|z_>l, x) is its product with what
    d_l proposes, so that inference has to say only what generation does not know yet:

        1 / s_q^2 = 1 / s_p^2 + 1 / s_d^2,    m_q = s_q^2 (m_p / s_p^2 + m_d / s_d^2).

    z is one vector (z_1, .., z_L); ``posterior`` and ``prior`` are ``Chain``s drawn from z_L on.

    Args:
        data_shape: Event shape of x.
        encoder: Makes the network x -> d_1.
        decoder: Makes the network before the likelihood.
        likelihood: The head that gives p(x|z).
        latent_dims: Z_1, .., Z_L, from the layer next to the data upwards.
        width: Of the features on the way up, which are normalised in every layer, and down, which
            are not: that would magnify the noise of latents that say little.
        activation: Of the features; leaky ReLU if not given.

    Raises:
        ConfigurationError: A layer without dimensions.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016, https://arxiv.org/abs/1602.02282
    """

    takes_missing = True
    top: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        likelihood: ConditionalDistribution,
        latent_dims: Sequence[int],
        width: int = 256,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for latent_dim in latent_dims:
            require_positive("latent_dims", latent_dim)
        require_positive("width", width)
        self.data_shape = tuple(data_shape)
        self.latent_dims = tuple(latent_dims)
        likelihood.set_event_shape(self.data_shape)
        self.likelihood_head = likelihood
        act = activation or nn.LeakyReLU()
        linear, block = MLP([]), MLP([width], act)
        self.normalized = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), act) for _ in self.latent_dims
        )
        self.encoder = encoder(self.data_shape, (width,))
        self.upwards = nn.ModuleList(block((width,), (width,)) for _ in self.latent_dims[1:])
        self.proposals = nn.ModuleList(linear((width,), (2 * z,)) for z in self.latent_dims)
        downwards = self.latent_dims[::-1]
        self.joining = nn.ModuleList(
            block((z + (width if number else 0),), (width,)) for number, z in enumerate(downwards)
        )
        self.expectations = nn.ModuleList(linear((width,), (2 * z,)) for z in downwards[1:])
        self.decoder = decoder((width,), likelihood.out_shape)
        self.activation = act
        self.register_buffer("top", torch.zeros(2 * downwards[0]), persistent=False)

    def prior(self, **given: Tensor) -> Distribution:
        """p(z), drawn from z_L on."""
        del given

        def layers() -> Layers:
            descent = self._descend()
            expected = next(descent)
            while True:
                z = yield diagonal_gaussian(expected)
                expected = descent.send(z)

        return Chain(layers, self.latent_dims, torch.Size(), from_last=True)

    def likelihood(
        self, z: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Distribution:
        """p(x|z), of the entries of x that are observed."""
        descent = self._descend()
        features = next(descent)
        for part in z.split(self.latent_dims, -1)[::-1]:
            features = descent.send(part)
        p = self.likelihood_head(self.decoder(features))
        return p if observed is None else Observed(p, observed)

    def posterior(
        self, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Distribution:
        """q(z|x), drawn from z_L on."""
        return self.posterior_at(self.variational_parameters(x, observed))

    def variational_parameters(
        self, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Tensor:
        """What the features of x propose for every layer, (B, 2 Z_1 + .. + 2 Z_L)."""
        if observed is not None:
            x = x.where(observed, x.new_zeros(()))
        first, *above = self.normalized
        features = [first(self.encoder(x))]
        for block, normalized in zip(self.upwards, above, strict=True):
            features.append(normalized(features[-1] + block(features[-1])))
        pairs = zip(self.proposals, features, strict=True)
        return torch.cat([propose(d) for propose, d in pairs], -1)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """The q with these proposals."""
        proposals = parameters.split([2 * size for size in self.latent_dims], -1)

        def layers() -> Layers:
            descent = self._descend()
            expected = next(descent)
            for proposed in proposals[::-1]:
                z = yield diagonal_gaussian(_product(expected, proposed))
                expected = descent.send(z)

        return Chain(layers, self.latent_dims, parameters.shape[:-1], from_last=True)

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of the way up; the way down is shared, and belongs to the model."""
        upwards = (self.encoder, self.upwards, self.normalized, self.proposals)
        return [parameter for part in upwards for parameter in part.parameters()]

    def _descend(self) -> Generator[Tensor, Tensor, None]:
        """Gives (m, log s) of p(z_l|z_>l) from l = L on and is sent z_l; last, gives features."""
        below, features = self.top, None
        for number, join in enumerate(self.joining):
            z = yield below
            features = self.activation(_joined(join, z, features))
            last = number == len(self.expectations)
            below = features if last else self.expectations[number](features)
        yield below


def _joined(join: nn.Module, z: Tensor, features: Tensor | None) -> Tensor:
    """The features of the layers down to this one."""
    return join(z) if features is None else features + join(torch.cat([z, features], -1))


def _product(one: Tensor, other: Tensor) -> Tensor:
    """(m, log s) of the normalised product of two diagonal Gaussians, each (m, log s)."""
    (m_1, log_s_1), (m_2, log_s_2) = one.chunk(2, -1), other.chunk(2, -1)
    log_precision = torch.logaddexp(-2 * log_s_1, -2 * log_s_2)
    weight = (2 * (log_s_1 - log_s_2)).sigmoid()
    return torch.cat([m_1 + weight * (m_2 - m_1), -0.5 * log_precision], -1)

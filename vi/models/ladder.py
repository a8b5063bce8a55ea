"""The ladder: inference and generation share one way down through the layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.chain import Chain, Layers, diagonal_gaussian, layer_sizes
from vi.distributions.conditional import ConditionalDistribution
from vi.errors import require_positive
from vi.models.neural import NeuralModel
from vi.networks.base import NetworkFactory, built
from vi.networks.mlp import MLP, hidden_linear

_MOST = 5.0  # of |log s|


class Ladder(NeuralModel):
    """p(x, z) = p(z_L) p(z_(L-1)|z_L) .. p(z_1|z_2 .. z_L) p(x|z), q(z|x) in the same order.

    p(z_L) = N(0, I). Upwards, x is turned into features d_1 .. d_L. Downwards, the layers drawn so
    far are added up to features h_l, which give p(z_l|z_>l) = N(m_l, s_l^2); with those of x they
    say how far q(z_l|z_>l, x) lies from there, so that inference has to learn only what
    generation does not know yet:

        h_l = h_(l+1) + W_l z_(l+1),    q(z_l|z_>l, x) = N(m_l + a_l, (s_l b_l)^2),

    with (m_l, log s_l) a network of rect(h_l), and (a_l, log b_l) affine in rect(h_l) and d_l. The
    decoder reads rect(h_0), so that it sees every layer at once, however many there are.

    z is one vector (z_1, .., z_L); ``posterior`` and ``prior`` are ``Chain``s drawn from z_L on.

    Args:
        data_shape: Event shape of x.
        encoder: Makes the network x -> d_1.
        decoder: Makes the network before the likelihood.
        likelihood: The head that gives p(x|z).
        latent_dims: Z_1, .., Z_L, from the layer next to the data upwards; of one number, its
            two halves.
        width: Of the features.
        activation: The rectifier between and behind the layers; leaky ReLU if not given.
        standardize: The networks see (x - mean) / sd of the training data, as those of the VAE.

    Raises:
        ConfigurationError: No layer, or one without dimensions; a network that is no recipe.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016, https://arxiv.org/abs/1602.02282,
    who multiply two Gaussians where q is told relative to p here: Vahdat and Kautz, 2020,
    https://arxiv.org/abs/2007.03898
    """

    top: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        likelihood: ConditionalDistribution,
        latent_dims: int | Sequence[int],
        width: int = 500,
        activation: nn.Module | None = None,
        *,
        standardize: bool = False,
    ) -> None:
        super().__init__(data_shape, likelihood, standardize=standardize)
        require_positive("width", width)
        self.latent_dims = layer_sizes(latent_dims)
        self.likelihood_head = likelihood
        self.activation = activation or nn.LeakyReLU()
        linear, block = MLP([]), MLP([width], self.activation)
        sizes = self.latent_dims[::-1]  # from here on downwards
        self.encoder = built("encoder", encoder, self.data_shape, (width,))
        self.upwards = nn.ModuleList(block((width,), (width,)) for _ in sizes[1:])
        self.differences = nn.ModuleList(linear((width,), (2 * z,), width) for z in sizes)
        self.expectations = nn.ModuleList(block((width,), (2 * z,)) for z in sizes[1:])
        self.joining = nn.ModuleList(hidden_linear(z, width) for z in sizes)
        self.start = nn.Parameter(torch.zeros(width))
        self.decoder = built("decoder", decoder, (width,), likelihood.out_shape)
        self.register_buffer("top", torch.zeros(2 * sizes[0]), persistent=False)

    def prior(self, **given: Tensor) -> Distribution:
        """p(z), drawn from z_L on."""
        del given

        def layers() -> Layers:
            features = self.start
            for number, join in enumerate(self.joining):
                z = yield diagonal_gaussian(self._expected(number, self.activation(features)))
                features = features + join(z)

        return Chain(layers, self.latent_dims, torch.Size(), from_last=True)

    def likelihood(
        self,
        z: Tensor,
        observed: Tensor | None = None,
        exposure: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """p(x|z), of the entries of x that are observed; ``exposure`` multiplies rates."""
        features = self.start
        for join, part in zip(self.joining, z.split(self.latent_dims, -1)[::-1], strict=True):
            features = features + join(part)
        return self.decoded(self.decoder(self.activation(features)), observed, exposure)

    def posterior(
        self, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Distribution:
        """q(z|x), drawn from z_L on."""
        return self.posterior_at(self.variational_parameters(x, observed))

    def variational_parameters(
        self, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Tensor:
        """The features d_L, .., d_1 of x, (B, L width)."""
        features = [self.activation(self.encoder(self.seen(x, observed)))]
        for block in self.upwards:
            features.append(features[-1] + self.activation(block(features[-1])))
        return torch.cat(features[::-1], -1)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """The q with these features of x."""
        of_x = parameters.chunk(len(self.latent_dims), -1)

        def layers() -> Layers:
            features = self.start
            parts = zip(self.differences, self.joining, of_x, strict=True)
            for number, (differ, join, d) in enumerate(parts):
                seen = self.activation(features)
                expected = self._expected(number, seen)
                z = yield diagonal_gaussian(expected + _gentle(differ(seen, d)))
                features = features + join(z)

        return Chain(layers, self.latent_dims, parameters.shape[:-1], from_last=True)

    def posterior_parameters(self) -> list[nn.Parameter]:
        """Of the differences."""
        return list(self.differences.parameters())

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of the way up and the differences; the way down is shared, and belongs to the model."""
        own = (self.encoder, self.upwards, self.differences)
        return [parameter for part in own for parameter in part.parameters()]

    def _expected(self, number: int, seen: Tensor) -> Tensor:
        """(m, log s) of p(z_l|z_>l), in the order downwards."""
        return _gentle(self.expectations[number - 1](seen)) if number else self.top


def _gentle(params: Tensor) -> Tensor:
    """(m, log s) with |log s| below 5: what one draw far out does to the next layer must end."""
    loc, log_scale = params.chunk(2, -1)
    return torch.cat([loc, _MOST * (log_scale / _MOST).tanh()], -1)

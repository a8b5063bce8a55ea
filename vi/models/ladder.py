"""Ladder models: inference and generation share one path down through the layers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.chain import Chain, Layers, diagonal_gaussian, layer_sizes
from vi.distributions.conditional import ConditionalDistribution
from vi.errors import require_positive
from vi.inference.base import Inference
from vi.inference.ladder import LadderInference, gentle
from vi.models.neural import NeuralModel
from vi.networks.base import NetworkFactory, built
from vi.networks.mlp import MLP, hidden_linear
from vi.networks.own import claim, spelled


class Ladder(NeuralModel):
    """Ladder: p(x, z) = p(z_L) p(z_(L-1)|z_L) .. p(z_1|z_2 .. z_L) p(x|z), with q in that order.

    p(z_L) = N(0, I). Upwards, x is turned into features d_1 .. d_L. Downwards, the layers drawn so
    far are added to features h_l, which give p(z_l|z_>l) = N(m_l, s_l^2). Together with d_l they
    give q(z_l|z_>l, x) as a correction of that, so that inference learns only the information
    which x adds to the layers above:

        h_l = h_(l+1) + W_l z_(l+1),    q(z_l|z_>l, x) = N(m_l + a_l, (s_l b_l)^2),

    with (m_l, log s_l) a network of rect(h_l), and (a_l, log b_l) affine in rect(h_l) and d_l. The
    decoder reads rect(h_0), to which every layer contributes directly.

    z is one vector (z_1, .., z_L); ``posterior`` and ``prior`` are ``Chain`` distributions that
    draw z_L first.

    Args:
        data_shape: Event shape of x.
        encoder: The network x -> d_1 or its factory; None if ``inference`` is given.
        decoder: The network before the likelihood, or its factory.
        likelihood: The head that gives p(x|z).
        latent_dims: Z_1, .., Z_L, beginning with the layer next to the data; a single number is
            divided into two halves.
        width: Width of the features d_l and h_l.
        activation: The rectifier between and after the layers; leaky ReLU if not given.
        standardize: Whether the networks read (x - mean) / sd of the training data, as in ``VAE``.
        inference: Gives q(z|x), in place of the encoder.

    Raises:
        ConfigurationError: There is no layer, a layer has no dimensions, or a network does not
            fit.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016,
    https://arxiv.org/abs/1602.02282, who multiply two Gaussians; the correction of p to q used
    here is that of Vahdat and Kautz, 2020, https://arxiv.org/abs/2007.03898
    """

    top: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        encoder: NetworkFactory | nn.Module | None,
        decoder: NetworkFactory | nn.Module,
        likelihood: ConditionalDistribution,
        latent_dims: int | Sequence[int],
        width: int = 500,
        activation: nn.Module | None = None,
        *,
        standardize: bool = False,
        inference: Inference | None = None,
    ) -> None:
        super().__init__(data_shape, likelihood, standardize=standardize)
        require_positive("width", width)
        self.latent_dims = self.layers_down = layer_sizes(latent_dims)
        self.likelihood_head = likelihood
        self.activation = activation or nn.LeakyReLU()
        self.width = width
        block, sizes = MLP([width], self.activation), self.latent_dims[::-1]  # downwards
        if encoder is not None:
            inference = LadderInference(encoder)
        if inference is not None:
            self.inference = inference
        self.inference.set_up(self, self.latent())
        self.expectations = nn.ModuleList(block((width,), (2 * z,)) for z in sizes[1:])
        self.joining = nn.ModuleList(hidden_linear(z, width) for z in sizes)
        self.start = nn.Parameter(torch.zeros(width))
        self.decoder = built(
            "decoder", decoder, (width,), likelihood.out_shape, spelled(likelihood)
        )
        self.register_buffer("top", torch.zeros(2 * sizes[0]), persistent=False)
        claim(self)

    def prior(self, **given: Tensor) -> Distribution:
        """Return p(z), a ``Chain`` that draws z_L first."""
        del given
        return self.descent(lambda number, seen: self.expected(number, seen), torch.Size())

    def descent(self, told: Callable[[int, Tensor], Tensor], batch_shape: torch.Size) -> Chain:
        """Return a distribution of z that is drawn downwards, z_L first.

        Args:
            told: (number, rect(h_l)) -> (m, log s) of z_l; layers are numbered from 0 at the top.
            batch_shape: Batch shape of the distribution.
        """

        def layers() -> Layers:
            features = self.start
            for number, join in enumerate(self.joining):
                z = yield diagonal_gaussian(told(number, self.activation(features)))
                features = features + join(z)

        return Chain(layers, self.latent_dims, batch_shape, from_last=True)

    def likelihood(
        self,
        z: Tensor,
        observed: Tensor | None = None,
        exposure: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """Return p(x|z) of the observed entries of x; ``exposure`` multiplies rates."""
        features = self.start
        for join, part in zip(self.joining, z.split(self.latent_dims, -1)[::-1], strict=True):
            features = features + join(part)
        return self.likelihood_from(self.decoder(self.activation(features)), observed, exposure)

    def expected(self, number: int, seen: Tensor) -> Tensor:
        """Return (m, log s) of p(z_l|z_>l); layers are numbered from 0 at the top."""
        return gentle(self.expectations[number - 1](seen)) if number else self.top

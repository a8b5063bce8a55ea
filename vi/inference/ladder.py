"""The way up of a ladder: what of x says how far q lies from p, layer by layer."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.inference.base import Generative, Parametric
from vi.networks.base import NetworkFactory, built, precision_of
from vi.networks.mlp import MLP

_MOST = 5.0  # of |log s|


class LadderInference(Parametric):
    """q(z_l|z_>l, x) = N(m_l + a_l, (s_l b_l)^2), in the layers of a ``Ladder``.

    x is turned into features d_1 .. d_L upwards; (a_l, log b_l) is affine in them and in what the
    model says on its own way down, which belongs to the model.

    Args:
        encoder: Makes the network x -> d_1.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016, https://arxiv.org/abs/1602.02282
    """

    def __init__(self, encoder: NetworkFactory) -> None:
        super().__init__()
        self.recipe = encoder
        self.encoder = nn.Identity()  # until the model tells its sizes

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``.

        Raises:
            ConfigurationError: The model has no way down to share.
        """
        del prior
        if not model.layers_down:
            raise ConfigurationError(
                f"{type(model).__name__} has no way down through layers of z to share",
                hint="inference=ladder is for model=ladder; inference=amortized takes any model",
            )
        width, sizes = model.width, model.latent_dims[::-1]
        linear, block = MLP([]), MLP([width], model.activation)
        self.encoder = built("encoder", self.recipe, model.data_shape, (width,))
        self.upwards = nn.ModuleList(block((width,), (width,)) for _ in sizes[1:])
        self.differences = nn.ModuleList(linear((width,), (2 * z,), width) for z in sizes)

    def parameters_of(
        self, model: Generative, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Tensor:
        """The features d_L, .., d_1 of x, (B, L width)."""
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        features = [model.activation(self.encoder(seen))]
        for block in self.upwards:
            features.append(features[-1] + model.activation(block(features[-1])))
        return torch.cat(features[::-1], -1)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """The q with these features of x."""
        of_x = parameters.chunk(len(self.differences), -1)

        def told(number: int, seen: Tensor) -> Tensor:
            differ = self.differences[number]
            return model.expected(number, seen) + gentle(differ(seen, of_x[number]))

        return model.descent(told, parameters.shape[:-1])

    def shared_parameters(self) -> list[nn.Parameter]:
        """Of the differences."""
        return list(self.differences.parameters())


def gentle(params: Tensor) -> Tensor:
    """(m, log s) with |log s| below 5: what one draw far out does to the next layer must end."""
    loc, log_scale = params.chunk(2, -1)
    return torch.cat([loc, _MOST * (log_scale / _MOST).tanh()], -1)

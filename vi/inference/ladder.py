"""The bottom-up pass of a ladder VAE: how far q differs from p in each layer, given x."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.inference.base import Generative, Parametric
from vi.networks.base import NetworkFactory, built, precision_of
from vi.networks.mlp import MLP

_MOST = 5.0  # bound of |log s|


class LadderInference(Parametric):
    """q(z_l|z_>l, x) = N(m_l + a_l, (s_l b_l)^2), in the layers of a ``Ladder``.

    m_l and s_l are the location and scale of p(z_l|z_>l). A deterministic bottom-up pass turns x
    into features d_1 .. d_L. (a_l, log b_l) is affine in these features and in what the model
    computes on its top-down pass, whose networks belong to the model.

    Args:
        encoder: Makes the network x -> d_1, or is it.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016,
    https://arxiv.org/abs/1602.02282
    """

    recipe: NetworkFactory | nn.Module

    def __init__(self, encoder: NetworkFactory | nn.Module) -> None:
        super().__init__()
        vars(self)["recipe"] = encoder  # past nn.Module: a finished one is a part when it is built
        self.encoder = nn.Identity()  # until the model tells its sizes

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Make the networks of the bottom-up pass and of the differences between q and p.

        Raises:
            ConfigurationError: The model has no layers of z.
        """
        del prior
        if not model.layers_down:
            raise ConfigurationError(
                f"{type(model).__name__} has no layers of z for ladder inference",
                hint="inference=ladder is for model=ladder; inference=amortized takes any model",
            )
        width, sizes = model.width, model.latent_dims[::-1]
        linear, block = MLP([]), MLP([width], model.activation)
        self.encoder = built("encoder", self.recipe, model.data_shape, (width,), "the ladder")
        self.upwards = nn.ModuleList(block((width,), (width,)) for _ in sizes[1:])
        self.differences = nn.ModuleList(linear((width,), (2 * z,), width) for z in sizes)

    def parameters_of(
        self, model: Generative, x: Tensor, observed: Tensor | None = None, **given: Tensor
    ) -> Tensor:
        """Return the features d_L, .., d_1 of x, (B, L width)."""
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        features = [model.activation(self.encoder(seen))]
        for block in self.upwards:
            features.append(features[-1] + model.activation(block(features[-1])))
        return torch.cat(features[::-1], -1)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """Return the q with these features of x, (B, L width)."""
        of_x = parameters.chunk(len(self.differences), -1)

        def told(number: int, seen: Tensor) -> Tensor:
            differ = self.differences[number]
            return model.expected(number, seen) + gentle(differ(seen, of_x[number]))

        return model.descent(told, parameters.shape[:-1])

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the affine maps to (a_l, log b_l)."""
        return list(self.differences.parameters())


def gentle(params: Tensor) -> Tensor:
    """Return (m, log s) with |log s| bounded by 5.

    Without the bound one extreme draw would change the scale of the next layer without limit.
    """
    loc, log_scale = params.chunk(2, -1)
    return torch.cat([loc, _MOST * (log_scale / _MOST).tanh()], -1)

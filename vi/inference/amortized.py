"""One network answers for every x."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.inference.base import Generative
from vi.inference.headed import Headed
from vi.math import Shape
from vi.networks.base import conditioned, precision_of
from vi.networks.last_layer import scale_last_layer

_PROBES = 256  # data by which the encoder's last layer is scaled
_REACH = 0.5  # what it says at first, in root mean square


class Amortized(Headed):
    """q(z|x) = q(z; encoder(x)).

    Args:
        encoder: Makes the network before the posterior.
        posterior: The head that gives q.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114; Cremer, Li and Duvenaud,
    2018, https://arxiv.org/abs/1801.03558
    """

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``."""
        super().set_up(model, prior)
        self.encoder = self.made(model)

    def parameters_of(
        self,
        model: Generative,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Tensor:
        """What the encoder says of x, in its precision; what is not observed is 0 to it."""
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        return conditioned(self.encoder, seen, context, self.context_dim)

    @torch.no_grad()
    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Start within reach of p(z).

        The weights of the encoder's last layer are made smaller where it says more than 1/2 in
        root mean square.
        """
        x, given = some(x, given)
        said = self.parameters_of(model, x, observed=~x.isnan(), **given)
        bring_within_reach(self.encoder, said, self.head.out_shape)


def some(x: Tensor, given: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """As many rows as tell what an encoder says at first."""
    rows = slice(None, None, -(-len(x) // _PROBES))
    return x[rows], {k: v[rows] for k, v in given.items()}


def bring_within_reach(encoder: nn.Module, said: Tensor, out_shape: Shape) -> None:
    """Make the weights of the last layer smaller where it says more than 1/2 in root mean square.

    Args:
        encoder: Is left as it is where its last layer is neither linear nor a convolution.
        said: By it, of some data, (N, *out_shape).
        out_shape: Of its output.
    """
    size = said.flatten(1).square().mean(0).sqrt()
    scale_last_layer(encoder, out_shape, _REACH / size)

"""Amortised inference: one network maps every x to its q."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.inference.base import Generative
from vi.inference.headed import Headed
from vi.math import Shape
from vi.networks.base import conditioned, precision_of
from vi.networks.last_layer import scale_last_layer

_PROBES = 256  # number of data from which the scale of the encoder's last layer is set
_REACH = 0.5  # largest root mean square of an output of the encoder at the start


class Amortized(Headed):
    """q(z|x) = q(z; encoder(x)), with one encoder for all data.

    Args:
        encoder: Makes the network x -> lambda from the shapes of x and of lambda.
        posterior: The head that maps lambda to q.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114; Cremer, Li and Duvenaud,
    2018, https://arxiv.org/abs/1801.03558
    """

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Check that q and p(z) have the same support and shape, and make the encoder."""
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
        """Return lambda = encoder(x), (B, *P), in the encoder's precision.

        Args:
            model: Prepares x for the encoder.
            x: Data (B, *event).
            context: What the model conditions on, (B, C); a further input of the encoder.
            observed: False where x is missing; the encoder reads 0 there.
            **given: Ignored.
        """
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        return conditioned(self.encoder, seen, context, self.context_dim)

    @torch.no_grad()
    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Scale the encoder's last layer so that q starts close to p(z).

        The weights of an output are reduced if its root mean square over the data exceeds 1/2.
        """
        x, given = some(x, given)
        said = self.parameters_of(model, x, observed=~x.isnan(), **given)
        bring_within_reach(self.encoder, said, self.head.out_shape)


def some(x: Tensor, given: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return at most 256 rows, evenly spaced: enough to measure the scale of the output."""
    rows = slice(None, None, -(-len(x) // _PROBES))
    return x[rows], {k: v[rows] for k, v in given.items()}


def bring_within_reach(encoder: nn.Module, said: Tensor, out_shape: Shape) -> None:
    """Reduce the weights of the last layer for outputs whose root mean square exceeds 1/2.

    Args:
        encoder: Left unchanged if its last layer is neither linear nor a convolution.
        said: The encoder's output for some data, (N, *out_shape).
        out_shape: Shape of the encoder's output for one datum.
    """
    size = said.flatten(1).square().mean(0).sqrt()
    scale_last_layer(encoder, out_shape, _REACH / size)

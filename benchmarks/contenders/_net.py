"""The network of the contenders that are written in plain torch."""

import numpy as np
import torch
from _common import DIM, HIDDEN, LATENT
from torch import Tensor, nn
from torch.nn import functional as F


class Net(nn.Module):
    """784-500-500-2x40-500-500-784 with ReLU, as a user would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _perceptron(DIM, 2 * LATENT)
        self.decoder = _perceptron(LATENT, DIM)

    def loss(self, x: Tensor) -> Tensor:
        """Minus the ELBO, mean over the batch."""
        mu, log_variance = self.encoder(x).chunk(2, -1)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
        error = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).sum()
        return (error + kl) / len(x)


def _perceptron(n_in: int, n_out: int) -> nn.Sequential:
    hidden = [nn.Linear(n_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, n_out))


def weights(
    encoder: nn.Module, decoder: nn.Module, scale_of_output: float = 1.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the neutral ELBO asks for.

    Args:
        encoder: Its last layer gives the mean and, times ``scale_of_output``, the log variance.
        decoder: Gives the logits.
        scale_of_output: 2 where the encoder gives log sigma.
    """
    layers = [
        (m.weight.detach().numpy(), m.bias.detach().numpy())
        for net in (encoder, decoder)
        for m in net.modules()
        if isinstance(m, nn.Linear)
    ]
    weight, bias = layers[2]
    s = scale_of_output
    heads = [(weight[:LATENT], bias[:LATENT]), (s * weight[LATENT:], s * bias[LATENT:])]
    return [*layers[:2], *heads, *layers[3:]]

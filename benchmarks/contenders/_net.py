"""The network of the contenders that are written in plain torch."""

import math

import numpy as np
import torch
from _common import DIM, HIDDEN, LATENT, SAMPLES
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

    @torch.no_grad()
    def log_likelihood(self, bits: np.ndarray) -> float:
        """log p(x) by importance sampling, one image after the other; the mean."""
        return sum(self._log_likelihood(x) for x in torch.from_numpy(bits)) / len(bits)

    def _log_likelihood(self, x: Tensor) -> float:
        mu, log_variance = self.encoder(x).chunk(2, -1)
        noise = torch.randn(SAMPLES, LATENT)
        z = mu + torch.exp(0.5 * log_variance) * noise
        logits = self.decoder(z)
        error = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        log_p = -error.sum(-1) - 0.5 * z.square().sum(-1)
        log_q = -0.5 * (noise.square() + log_variance).sum(-1)
        return (log_p - log_q).logsumexp(0).item() - math.log(SAMPLES)


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

"""A VAE and its training as one writes them without vi: plain layers, Lightning's ordinary way."""

import math
import tempfile
from itertools import pairwise

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import vi


class Plain(nn.Module):
    """q(z|x) = N(mu, sigma^2) and independent bits.

    Args:
        encoder: x -> mu and log sigma.
        decoder: z -> logits.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def loss(self, x: Tensor) -> Tensor:
        """Minus the ELBO, mean over the batch."""
        mu, log_sigma = self.encoder(x).chunk(2, -1)
        z = mu + log_sigma.exp() * torch.randn_like(mu)
        error = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * ((2 * log_sigma).exp() + mu.square() - 1 - 2 * log_sigma).sum()
        return (error + kl) / len(x)

    def iwae_loss(self, x: Tensor, num_samples: int) -> Tensor:
        """Minus the importance-weighted bound, mean over the batch; x is flat."""
        mu, log_sigma = self.encoder(x).chunk(2, -1)
        noise = torch.randn(num_samples, *mu.shape)
        z = mu + log_sigma.exp() * noise
        logits = self.decoder(z)
        error = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        log_ratio = (0.5 * (noise.square() - z.square()) + log_sigma).sum(-1)
        log_w = log_ratio - error.sum(-1)
        return math.log(num_samples) - log_w.logsumexp(0).mean()


def perceptrons(dim: int, hidden: int, latent: int) -> Plain:
    """The layers of ``vi.MLP([hidden, hidden])`` on both sides."""
    return Plain(
        _perceptron(dim, hidden, hidden, 2 * latent), _perceptron(latent, hidden, hidden, dim)
    )


def _perceptron(*widths: int) -> nn.Sequential:
    layers = [[nn.Linear(n_in, n_out), nn.ReLU()] for n_in, n_out in pairwise(widths)]
    return nn.Sequential(*sum(layers, [])[:-1])


def convolutions(side: int, latent: int) -> Plain:
    """The layers of ``vi.ConvEncoder([32, 64])`` and ``vi.ConvDecoder([64, 32])``."""
    half, quarter = side // 2, side // 4
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * quarter**2, 2 * latent),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 64 * quarter**2),
        nn.Unflatten(1, (64, quarter, quarter)),
        nn.ReLU(),
        nn.Upsample((half, half)),
        nn.Conv2d(64, 32, 3, 1, 1),
        nn.ReLU(),
        nn.Upsample((side, side)),
        nn.Conv2d(32, 1, 3, 1, 1),
    )
    return Plain(encoder, decoder)


@torch.no_grad()
def copy_weights(model: vi.VAE, plain: Plain) -> None:
    """Make the plain model compute what the other one does."""
    for theirs, ours in zip(plain.parameters(), model.parameters(), strict=True):
        assert theirs.shape == ours.shape
        theirs.copy_(ours)


class _Module(pl.LightningModule):
    def __init__(self, plain: Plain) -> None:
        super().__init__()
        self.plain = plain

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        loss = self.plain.loss(torch.bernoulli(batch[0]))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def fit_plain(plain: Plain, grey: Tensor, batch_size: int) -> None:
    """One epoch of Lightning as its users write it, without its bar and its table of layers."""
    loader = DataLoader(TensorDataset(grey.float() / 255), batch_size=batch_size, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=TensorBoardLogger(folder),
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(_Module(plain), loader)

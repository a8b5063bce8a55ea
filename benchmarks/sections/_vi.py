"""The same with vi, on the same random pictures."""

import tempfile
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

import vi
from vi.data.base import DynamicBits, LoadedData, Values
from vi.networks.base import NetworkFactory

_TEST = 1000


def vae(
    data_shape: Sequence[int], encoder: NetworkFactory, decoder: NetworkFactory, latent: int
) -> vi.VAE:
    """A diagonal Gaussian q, a standard normal prior, independent bits."""
    posterior, prior = vi.DiagonalGaussian(latent), vi.StandardNormal(latent)
    return vi.VAE(data_shape, encoder, decoder, posterior, prior, vi.Bernoulli())


def perceptrons(dim: int, hidden: int, latent: int) -> vi.VAE:
    """Two hidden layers on both sides."""
    return vae((dim,), vi.MLP([hidden, hidden]), vi.MLP([hidden, hidden]), latent)


def convolutions(side: int, latent: int) -> vi.VAE:
    """Two convolutions on both sides."""
    return vae((1, side, side), vi.ConvEncoder([32, 64]), vi.ConvDecoder([64, 32]), latent)


def pictures(n: int, *shape: int) -> Tensor:
    """Random bytes (n, *shape)."""
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8)


def fit(
    model: vi.VAE,
    grey: Tensor,
    batch_size: int,
    epochs: int = 1,
    callbacks: Sequence[pl.Callback] = (),
    **settings: Any,
) -> None:
    """``vi.fit`` on bits drawn anew at every visit, with its default loggers and checkpoints."""
    test = Values((grey[:_TEST] > 127).byte())
    with tempfile.TemporaryDirectory() as folder:
        vi.fit(
            model,
            LoadedData(DynamicBits(grey), None, test, tuple(grey.shape[1:])),
            epochs=epochs,
            run_dir=folder,
            callbacks=callbacks,
            evaluation=vi.ImportanceSampling(1),
            batch_size=batch_size,
            device="cpu",
            progress_bar=False,
            **settings,
        )

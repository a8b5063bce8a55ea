"""The role of a model: p(x, z | given) and q(z | x, given)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.math import Shape
from vi.options import Option


class LatentVariableModel(Option, nn.Module, ABC):
    """A joint distribution of data x and latents z, with a way to infer z from x.

    An implementer writes ``prior``, ``likelihood`` and ``posterior``, and sets ``data_shape`` (the
    event shape of x). Comes for free: ``log_joint``, ``sample``, ``encode``, ``reconstruct``.

    ``given`` holds whatever the model conditions on, by name (``context``: (B, C)); a model that
    conditions on nothing ignores it.
    """

    data_shape: Shape

    @abstractmethod
    def prior(self, **given: Tensor) -> Distribution:
        """p(z), with batch_shape () or (B,)."""

    @abstractmethod
    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) for z (K, B, *Z) or (B, *Z); its batch_shape is what precedes Z."""

    @abstractmethod
    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x) for x (B, *event), with batch_shape (B,)."""

    def log_joint(self, x: Tensor, z: Tensor, **given: Tensor) -> Tensor:
        """log p(x, z) = log p(x|z) + log p(z) in nats, (K, B) for z (K, B, *Z)."""
        return self.likelihood(z, **given).log_prob(x) + self.prior(**given).log_prob(z)

    def initialize(self, x: Tensor) -> None:
        """Told the training data (N, *event) once, before the first step of a fresh run."""
        del x

    @torch.no_grad()
    def sample(self, n: int, **given: Tensor) -> Tensor:
        """n draws x ~ p(x|z), z ~ p(z): (n, *event)."""
        return self.likelihood(self._sample_prior(n, **given), **given).sample()

    @torch.no_grad()
    def sample_mean(self, n: int, **given: Tensor) -> Tensor:
        """n means E[x|z] with z ~ p(z): (n, *event); what is usually shown as samples."""
        return self.likelihood(self._sample_prior(n, **given), **given).mean

    @torch.no_grad()
    def encode(self, x: Tensor, **given: Tensor) -> Tensor:
        """E_q[z] for each datum: (B, *Z)."""
        return self.posterior(x, **given).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor, **given: Tensor) -> Tensor:
        """E[x'|z] at z = E_q[z]: (B, *event)."""
        return self.likelihood(self.encode(x, **given), **given).mean

    def _sample_prior(self, n: int, **given: Tensor) -> Tensor:
        p = self.prior(**given)
        return p.sample() if p.batch_shape else p.sample((n,))

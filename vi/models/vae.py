"""The variational autoencoder."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.inference.amortized import Amortized
from vi.inference.base import Inference
from vi.models.neural import NeuralModel
from vi.networks.base import NetworkFactory, built, conditioned
from vi.networks.own import claim, spelled

Part = TypeVar("Part")


class VAE(NeuralModel):
    """p(x, z) = p(z) p(x|decoder(z)) with q(z|x) = q(z|encoder(x)), or with another inference.

    Args:
        data_shape: Event shape of x.
        encoder: Makes the network before the posterior, or is it: a module (N, *data_shape) ->
            (N, posterior.out_shape).
        decoder: Makes the network before the likelihood, or is it: a module (N, Z) ->
            (N, likelihood.out_shape). Either is called as (x, context) where there is a context.
        posterior: The head that gives q(z|x).
        prior: p(z).
        likelihood: The head that gives p(x|z).
        context_dim: Width of ``given["context"]`` on which encoder and decoder condition.
        standardize: The networks see (x - mean) / sd of the training data, and p(x|z) is carried
            back, so that log p(x|z) stays a density in the units of the data.
        inference: Gives q(z|x), in place of encoder and posterior.

    Raises:
        ConfigurationError: Posterior and prior live on different supports or sizes, a network
            does not fit them or stands in another model, or a part is missing.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114
    """

    def __init__(
        self,
        data_shape: Sequence[int],
        encoder: NetworkFactory | nn.Module | None = None,
        decoder: NetworkFactory | nn.Module | None = None,
        posterior: ConditionalDistribution | None = None,
        prior: Prior | None = None,
        likelihood: ConditionalDistribution | None = None,
        context_dim: int = 0,
        *,
        standardize: bool = False,
        inference: Inference | None = None,
    ) -> None:
        decoder, prior = given("decoder", decoder), given("prior", prior)
        likelihood = given("likelihood", likelihood)
        super().__init__(data_shape, likelihood, standardize=standardize)
        self.context_dim = context_dim
        conditional = {"context_dim": context_dim} if context_dim else {}
        self.inference = _inference(inference, encoder, posterior)
        self.inference.set_up(self, prior)
        shapes = prior.decoder_input_shape, likelihood.out_shape
        self.decoder = built("decoder", decoder, *shapes, spelled(likelihood), **conditional)
        self.prior_module = prior
        self.likelihood_head = likelihood
        claim(self)

    def prior(self, **given: Tensor) -> Distribution:
        """p(z), the same for every context."""
        del given
        return self.prior_module(partial(self.inference.first, self))

    def latent(self) -> Prior:
        """p(z), whatever q is."""
        return self.prior_module

    def likelihood(
        self,
        z: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        exposure: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """p(x|z), of the entries of x that are observed; ``exposure`` multiplies rates."""
        code = self.prior_module.decoder_input(z)
        params = conditioned(self.decoder, code, context, self.context_dim)
        return self.likelihood_from(params, observed, exposure)

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Start the prior, the decoder (see ``NeuralModel``), and q(z|x)."""
        self.prior_module.initialize(x, **given)
        super().initialize(x, **given)
        self.inference.initialize(self, x, **given)


def _inference(
    inference: Inference | None,
    encoder: NetworkFactory | nn.Module | None,
    posterior: ConditionalDistribution | None,
) -> Inference:
    """The one that was told, or an amortised one of these parts."""
    if inference is None:
        return Amortized(given("encoder", encoder), given("posterior", posterior))
    if encoder is not None or posterior is not None:
        raise ConfigurationError(
            "encoder and posterior have no effect beside inference, which has its own",
            hint="vi.VAE(..., inference=vi.Amortized(encoder, posterior))",
        )
    return inference


def given(name: str, part: Part | None) -> Part:
    """The part.

    Raises:
        ConfigurationError: There is none.
    """
    if part is None:
        raise ConfigurationError(f"the model has no {name}", hint=f"give {name}=...")
    return part

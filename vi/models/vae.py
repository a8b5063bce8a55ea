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
    """p(x, z) = p(z) p(x|decoder(z)), with q(z|x) = q(z|encoder(x)) or another inference.

    Args:
        data_shape: Event shape of x.
        encoder: The network before the posterior, or its factory: (N, *data_shape) ->
            (N, *posterior.out_shape).
        decoder: The network before the likelihood, or its factory: (N, Z) ->
            (N, *likelihood.out_shape). With a context, both are called as (x, context).
        posterior: The head that gives q(z|x).
        prior: p(z).
        likelihood: The head that gives p(x|z).
        context_dim: Width of ``given["context"]``, on which encoder and decoder condition.
        standardize: Whether the networks read (x - mean) / sd of the training data. p(x|z) is
            mapped back, so that log p(x|z) remains a density in the units of the data.
        inference: Gives q(z|x), in place of encoder and posterior.

    Raises:
        ConfigurationError: The supports or sizes of posterior and prior differ, a network
            does not fit them or belongs to another model, or a part is missing.

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
        """Return p(z), the same for every context."""
        del given
        return self.prior_module(partial(self.inference.first, self))

    def latent(self) -> Prior:
        """Return the prior p(z), which determines the shape and the support of z."""
        return self.prior_module

    def likelihood(
        self,
        z: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        exposure: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """Return p(x|z) of the observed entries of x; ``exposure`` multiplies rates."""
        code = self.prior_module.decoder_input(z)
        params = conditioned(self.decoder, code, context, self.context_dim)
        return self.likelihood_from(params, observed, exposure)

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Initialise the prior, the decoder and q(z|x) from training data."""
        self.prior_module.initialize(x, **given)
        super().initialize(x, **given)
        self.inference.initialize(self, x, **given)


def _inference(
    inference: Inference | None,
    encoder: NetworkFactory | nn.Module | None,
    posterior: ConditionalDistribution | None,
) -> Inference:
    """Return the inference given, or an amortised one from encoder and posterior."""
    if inference is None:
        return Amortized(given("encoder", encoder), given("posterior", posterior))
    if encoder is not None or posterior is not None:
        raise ConfigurationError(
            "encoder and posterior have no effect beside inference, which has its own",
            hint="vi.VAE(..., inference=vi.Amortized(encoder, posterior))",
        )
    return inference


def given(name: str, part: Part | None) -> Part:
    """Return the part.

    Raises:
        ConfigurationError: The part is None.
    """
    if part is None:
        raise ConfigurationError(f"the model has no {name}", hint=f"give {name}=...")
    return part

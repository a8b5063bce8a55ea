"""The variational autoencoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.models.base import require_same_latent
from vi.models.last_layer import scale_last_layer
from vi.models.neural import NeuralModel
from vi.networks.base import NetworkFactory, built

_PROBES = 256  # data by which the encoder's last layer is scaled
_REACH = 0.5  # what it says at first, in root mean square


class VAE(NeuralModel):
    """p(x, z) = p(z) p(x|decoder(z)) with q(z|x) = q(z|encoder(x)).

    Args:
        data_shape: Event shape of x.
        encoder: Makes the network before the posterior.
        decoder: Makes the network before the likelihood.
        posterior: The head that gives q(z|x).
        prior: p(z).
        likelihood: The head that gives p(x|z).
        context_dim: Width of ``given["context"]`` on which encoder and decoder condition.
        standardize: The networks see (x - mean) / sd of the training data, and p(x|z) is carried
            back, so that log p(x|z) stays a density in the units of the data.

    Raises:
        ConfigurationError: Posterior and prior live on different supports or sizes, or a network
            is no recipe.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114
    """

    def __init__(
        self,
        data_shape: Sequence[int],
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        posterior: ConditionalDistribution,
        prior: Prior,
        likelihood: ConditionalDistribution,
        context_dim: int = 0,
        *,
        standardize: bool = False,
    ) -> None:
        super().__init__(data_shape, likelihood, standardize=standardize)
        require_same_latent(posterior, prior)
        self.context_dim = context_dim
        conditional = {"context_dim": context_dim} if context_dim else {}
        self.encoder = built(
            "encoder", encoder, self.data_shape, posterior.out_shape, **conditional
        )
        self.decoder = built(
            "decoder", decoder, prior.decoded_shape, likelihood.out_shape, **conditional
        )
        self.posterior_head = posterior
        self.prior_module = prior
        self.likelihood_head = likelihood

    def prior(self, **given: Tensor) -> Distribution:
        """p(z), the same for every context."""
        del given
        return self.prior_module(self.posterior)

    def likelihood(
        self,
        z: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        exposure: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """p(x|z), of the entries of x that are observed; ``exposure`` multiplies rates."""
        params = self._run(self.decoder, self.prior_module.decoded(z), context)
        return self.decoded(params, observed, exposure)

    def posterior(
        self,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Distribution:
        """q(z|x)."""
        return self.posterior_at(self.variational_parameters(x, context, observed))

    def variational_parameters(
        self,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Tensor:
        """What the encoder says of x; entries that are not observed are 0 to it."""
        return self._run(self.encoder, self.seen(x, observed), context)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """q(z; lambda)."""
        return self.posterior_head(parameters)

    def starting_parameters(self, like: Tensor) -> Tensor:
        """What the head says."""
        return self.posterior_head.starting_parameters(like)

    def posterior_parameters(self) -> list[nn.Parameter]:
        """Of the head."""
        return list(self.posterior_head.parameters())

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of the encoder and the head after it."""
        return [*self.encoder.parameters(), *self.posterior_parameters()]

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Start the prior, and see ``NeuralModel``; q(z|x) starts within reach of p(z).

        The weights of the encoder's last layer are made smaller where it says more than 1/2 in
        root mean square.
        """
        self.prior_module.initialize(x, **given)
        super().initialize(x, **given)
        rows = slice(None, None, -(-len(x) // _PROBES))
        x, given = x[rows], {k: v[rows] for k, v in given.items()}
        said = self.variational_parameters(x, observed=~x.isnan(), **given).flatten(1)
        outputs = self.posterior_head.out_shape
        scale_last_layer(self.encoder, outputs, _REACH / said.square().mean(0).sqrt())

    def _run(self, network: nn.Module, x: Tensor, context: Tensor | None) -> Tensor:
        if not self.context_dim:
            return network(x)
        if context is None or context.shape[-1] != self.context_dim:
            got = "none" if context is None else f"one of width {context.shape[-1]}"
            raise ConfigurationError(
                f"the model conditions on a context of width {self.context_dim}, got {got}",
                hint="give context=..., a tensor (B, context_dim); data.context=label makes one",
            )
        return network(x, context)

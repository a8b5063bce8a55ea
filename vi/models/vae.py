"""The variational autoencoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.affine import affine
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import exposed
from vi.distributions.observed import Observed
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel, require_same_latent
from vi.networks.base import NetworkFactory

# An entry whose standard deviation is below this part of its size is constant up to rounding: it
# is centred, but not magnified.
_CONSTANT = 1e-6


class VAE(LatentVariableModel):
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
        ConfigurationError: Posterior and prior live on different supports or sizes.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114
    """

    takes_missing = True
    data_loc: Tensor
    data_scale: Tensor

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
        super().__init__()
        require_same_latent(posterior, prior)
        self.data_shape = tuple(data_shape)
        self.context_dim = context_dim
        self.standardize = standardize
        likelihood.set_event_shape(self.data_shape)
        conditional = {"context_dim": context_dim} if context_dim else {}
        self.encoder = encoder(self.data_shape, posterior.out_shape, **conditional)
        self.decoder = decoder(prior.decoded_shape, likelihood.out_shape, **conditional)
        self.posterior_head = posterior
        self.prior_module = prior
        self.likelihood_head = likelihood
        if standardize:
            self.register_buffer("data_loc", torch.zeros(self.data_shape))
            self.register_buffer("data_scale", torch.ones(self.data_shape))

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
        z = self.prior_module.decoded(z)
        p = self.likelihood_head(self._run(self.decoder, z, context))
        p = affine(p, self.data_loc, self.data_scale) if self.standardize else p
        p = p if exposure is None else exposed(p, exposure)
        return p if observed is None else Observed(p, observed)

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
        x = self.likelihood_head.encoded(x)
        if self.standardize:
            x = (x - self.data_loc) / self.data_scale
        if observed is not None:
            x = x.where(observed, x.new_zeros(()))
        return self._run(self.encoder, x, context)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """q(z; lambda)."""
        return self.posterior_head(parameters)

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of the encoder and the head after it."""
        return [*self.encoder.parameters(), *self.posterior_head.parameters()]

    def initialize(self, x: Tensor) -> None:
        """Start the prior, and take mean and standard deviation of the data to standardise.

        Entries that are missing are NaN.
        """
        self.prior_module.initialize(x)
        if self.standardize:
            n = (~x.isnan()).sum(0)
            mean = x.nanmean(0).nan_to_num()  # of a column without data
            scale = ((x - mean).square().nansum(0) / (n - 1).clamp_min(1)).sqrt()
            varies = scale > _CONSTANT * x.nan_to_num().abs().amax(0)
            self.data_loc.copy_(mean)
            self.data_scale.copy_(scale.where(varies, torch.ones_like(scale)))

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

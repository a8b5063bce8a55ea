"""An encoder for an exact model: what amortisation and a family of q cost, to the last digit."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.kl import closed_form_kl
from vi.models.base import ExactModel, LatentVariableModel, require_same_latent
from vi.networks.base import NetworkFactory, built


class Amortized(LatentVariableModel):
    """p(x, z) of an exact model with q(z|encoder(x)) in place of its exact posterior.

    So log p(x) = ELBO + ``gap`` is known term by term. The encoder works in the default precision;
    q and everything after it in double, as the exact model does.

    Args:
        model: Gives p(z), p(x|z), and the exact posterior as the measure of q.
        encoder: Makes the network before the posterior.
        posterior: The head that gives q(z|x).

    Raises:
        ConfigurationError: Posterior and model have latents of different supports or sizes, or
            the encoder is no recipe.

    Reference: Cremer, Li and Duvenaud, 2018, https://arxiv.org/abs/1801.03558
    """

    takes_doubles = True

    def __init__(
        self, model: ExactModel, encoder: NetworkFactory, posterior: ConditionalDistribution
    ) -> None:
        super().__init__()
        require_same_latent(posterior, model.prior())
        self.data_shape = model.data_shape
        self.encoder = built("encoder", encoder, self.data_shape, posterior.out_shape)
        self.posterior_head = posterior.to(torch.float64)
        self.exact = model

    def prior(self, **given: Tensor) -> Distribution:
        """p(z) of the exact model."""
        return self.exact.prior(**given)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) of the exact model."""
        return self.exact.likelihood(z, **given)

    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z) of the exact model."""
        return self.exact.log_joint_and_prior(x, z, **given)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x)."""
        return self.posterior_at(self.variational_parameters(x, **given))

    def variational_parameters(self, x: Tensor, **given: Tensor) -> Tensor:
        """What the encoder says of x, in the encoder's precision."""
        precision = next(self.encoder.parameters()).dtype
        return self.encoder(x.to(precision))

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """q(z; lambda), in double precision."""
        return self.posterior_head(parameters.to(torch.float64))

    def starting_parameters(self, like: Tensor) -> Tensor:
        """What the head says."""
        return self.posterior_head.starting_parameters(like)

    def posterior_parameters(self) -> list[nn.Parameter]:
        """Of the head."""
        return list(self.posterior_head.parameters())

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of the encoder and the head after it."""
        return [*self.encoder.parameters(), *self.posterior_parameters()]

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """See the exact model."""
        self.exact.initialize(x, **given)

    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """log p(x) of the exact model, in nats."""
        return self.exact.log_evidence(x, **given)

    def gap(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """KL(q(z|x) || p(z|x)) = log p(x) - ELBO, in nats.

        Raises:
            ConfigurationError: The KL of this pair has no closed form.
        """
        return closed_form_kl(self.posterior(x, **given), self.exact.posterior(x, **given))

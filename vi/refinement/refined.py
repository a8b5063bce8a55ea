"""A model whose q is fitted to each datum."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement


class Refined(LatentVariableModel):
    """p(x, z) of a model, with q(z|x) refined from the encoder's answer, or from nothing.

    Args:
        model: Gives p(x, z), the start, and q for variational parameters.
        bound: What q climbs, a ``vi.Bound``.
        refinement: How.
        factor: So many times as many steps as the refinement says.
        amortized: Whether the start is what the encoder says; else it is what the family of q
            says without, which for a Gaussian is the standard normal.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        bound: nn.Module,
        refinement: Refinement,
        *,
        factor: int = 1,
        amortized: bool = True,
    ) -> None:
        super().__init__()
        self.data_shape = model.data_shape
        self.takes_missing = model.takes_missing
        self.takes_doubles = model.takes_doubles
        self.context_dim = model.context_dim
        self.model = model
        self.bound = bound
        self.refinement = refinement
        self.factor = factor
        self.amortized = amortized

    @property
    def likelihood_head(self) -> ConditionalDistribution | None:
        """That of the model, if it has one."""
        return getattr(self.model, "likelihood_head", None)

    def prior(self, **given: Tensor) -> Distribution:
        """p(z) of the model."""
        return self.model.prior(**given)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) of the model."""
        return self.model.likelihood(z, **given)

    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z) of the model."""
        return self.model.log_joint_and_prior(x, z, **given)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z; lambda_T); no gradient flows through it."""
        return self.posterior_at(self.variational_parameters(x, **given))

    def variational_parameters(self, x: Tensor, **given: Tensor) -> Tensor:
        """lambda_T."""
        with torch.no_grad():
            start = self.model.variational_parameters(x, **given)
        start = start if self.amortized else self.model.starting_parameters(start)
        return self.refinement(self.model, self.bound, x, start, given, factor=self.factor)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """The q with variational parameters (B, *P)."""
        return self.model.posterior_at(parameters)

    def starting_parameters(self, like: Tensor) -> Tensor:
        """Those of the model."""
        return self.model.starting_parameters(like)

    def posterior_parameters(self) -> list[nn.Parameter]:
        """Those of the model."""
        return self.model.posterior_parameters()

    def inference_parameters(self) -> list[nn.Parameter]:
        """Those of the model."""
        return self.model.inference_parameters()

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Initialise the model."""
        self.model.initialize(x, **given)

"""A model whose q is fitted to each datum."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement


class Refined(LatentVariableModel):
    """p(x, z) of a model, with q(z|x) refined from the encoder's answer, or from nothing.

    Args:
        model: Gives p(x, z), the start, and q for variational parameters.
        bound: What q climbs, a ``vi.Bound``.
        refinement: How.
        factor: So many times as many steps as the refinement says.
        amortized: Whether the start is what the encoder says; else it is lambda = 0, which for a
            Gaussian q is the standard normal.
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
        self.model = model
        self.bound = bound
        self.refinement = refinement
        self.factor = factor
        self.amortized = amortized

    def prior(self, **given: Tensor) -> Distribution:
        """p(z) of the model."""
        return self.model.prior(**given)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) of the model."""
        return self.model.likelihood(z, **given)

    def log_joint(self, x: Tensor, z: Tensor, **given: Tensor) -> Tensor:
        """log p(x, z) of the model."""
        return self.model.log_joint(x, z, **given)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z; lambda_T); no gradient flows through it."""
        return self.posterior_at(self.variational_parameters(x, **given))

    def variational_parameters(self, x: Tensor, **given: Tensor) -> Tensor:
        """lambda_T."""
        with torch.no_grad():
            start = self.model.variational_parameters(x, **given)
        start = start if self.amortized else torch.zeros_like(start)
        return self.refinement(self.model, self.bound, x, start, given, factor=self.factor)

    def posterior_at(self, parameters: Tensor) -> Distribution:
        """The q with variational parameters (B, *P)."""
        return self.model.posterior_at(parameters)

    def inference_parameters(self) -> list[nn.Parameter]:
        """Those of the model."""
        return self.model.inference_parameters()

    def initialize(self, x: Tensor) -> None:
        """Initialise the model."""
        self.model.initialize(x)

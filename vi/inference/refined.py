"""Refined inference: the encoder's q, improved for each datum."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.inference.base import Generative, Inference, Parametric, require_parametric
from vi.inference.objective import objective
from vi.refinement.base import Refinement


class Refined(Parametric):
    """q(z; lambda_T): T gradient steps on the ELBO of each datum, from another inference's lambda.

    No gradient flows back to the parameters of the other inference.

    Args:
        inference: Gives the start lambda_0 and the family of q.
        refinement: The steps.
        factor: The number of steps of the refinement is multiplied by this.

    Raises:
        ConfigurationError: q(z|x) of the other inference has no variational parameters.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
    """

    def __init__(self, inference: Inference, refinement: Refinement, factor: int = 1) -> None:
        super().__init__()
        self.inference = require_parametric(inference, type(self).__name__)
        self.refinement = refinement
        self.factor = factor

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Set up the other inference."""
        self.inference.set_up(model, prior)

    def parameters_of(self, model: Generative, x: Tensor, **given: Tensor) -> Tensor:
        """Return lambda_T, (B, *P)."""
        with torch.no_grad():
            start = self.inference.parameters_of(model, x, **given)
        return self.refined(model, x, self.begin(start), given, self.factor)

    def begin(self, said: Tensor) -> Tensor:
        """Return lambda_0, given the other inference's lambda; here that lambda itself."""
        return said

    def refined(
        self,
        model: Generative,
        x: Tensor,
        start: Tensor,
        given: Mapping[str, Tensor],
        factor: int = 1,
    ) -> Tensor:
        """Return lambda after the refinement, (B, *P).

        Args:
            model: Gives p(x, z).
            x: Data (B, *event).
            start: lambda_0, (B, *P).
            given: What the model conditions on.
            factor: The number of steps of the refinement is multiplied by this.
        """
        draws = self.refinement.num_draws
        climbed = objective(self.inference, model, x, given, draws)
        return self.refinement(climbed, start, factor=factor)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """Return q(z; lambda) of the other inference."""
        return self.inference.at(model, parameters)

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return the unrefined q of the other inference."""
        return self.inference.first(model, x, **given)

    def start(self, like: Tensor) -> Tensor:
        """Return the start of the other inference."""
        return self.inference.start(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the shared parameters of the other inference."""
        return self.inference.shared_parameters()

    def own_parameters(self) -> list[nn.Parameter]:
        """Return phi of the other inference; the refinement has no parameters."""
        return self.inference.own_parameters()

    @property
    def family(self) -> Parametric:
        """The family of the other inference, without refinement."""
        return self.inference.family

    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Initialise the other inference."""
        self.inference.initialize(model, x, **given)

"""The encoder's answer, refined for each datum."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.inference.base import Generative, Inference, Parametric, require_parametric
from vi.inference.objective import objective
from vi.refinement.base import Refinement


class Refined(Parametric):
    """q(z; lambda_T): gradient steps on the ELBO of each datum, from what another inference says.

    No gradient flows through it to the other's parameters.

    Args:
        inference: Gives the start, and q for variational parameters.
        refinement: The steps.
        factor: So many times as many steps as the refinement says.

    Reference: Kim, Wiseman, Miller, Sontag and Rush, 2018, https://arxiv.org/abs/1802.02550
    """

    def __init__(self, inference: Inference, refinement: Refinement, factor: int = 1) -> None:
        super().__init__()
        self.inference = require_parametric(inference, type(self).__name__)
        self.refinement = refinement
        self.factor = factor

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``."""
        self.inference.set_up(model, prior)

    def parameters_of(self, model: Generative, x: Tensor, **given: Tensor) -> Tensor:
        """lambda_T."""
        with torch.no_grad():
            start = self.inference.parameters_of(model, x, **given)
        return self.refined(model, x, self.begin(start), given, self.factor)

    def begin(self, said: Tensor) -> Tensor:
        """lambda_0 from what the other says: just that."""
        return said

    def refined(
        self,
        model: Generative,
        x: Tensor,
        start: Tensor,
        given: Mapping[str, Tensor],
        factor: int = 1,
    ) -> Tensor:
        """What these variational parameters become by so many times the steps."""
        draws = self.refinement.num_draws
        climbed = objective(self.inference, model, x, given, draws)
        return self.refinement(climbed, start, factor=factor)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """That of the other."""
        return self.inference.at(model, parameters)

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """What the other says."""
        return self.inference.first(model, x, **given)

    def start(self, like: Tensor) -> Tensor:
        """That of the other."""
        return self.inference.start(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Those of the other."""
        return self.inference.shared_parameters()

    def own_parameters(self) -> list[nn.Parameter]:
        """Those of the other."""
        return self.inference.own_parameters()

    @property
    def family(self) -> Parametric:
        """That of the other."""
        return self.inference.family

    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Start the other."""
        self.inference.initialize(model, x, **given)

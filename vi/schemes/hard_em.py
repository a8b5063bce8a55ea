"""EM with the most probable z in place of all of them; of which k-means is one case."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.bounds.base import Bound
from vi.distributions.delta import Delta
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel
from vi.schemes.exact import require_exact
from vi.schemes.expectation_maximization import ExpectationMaximization


class HardEM(ExpectationMaximization):
    """q is all mass on the mode: the classification likelihood max_z log p(x, z) never falls.

    Reference: Celeux and Govaert, 1992, https://doi.org/10.1016/0167-9473(92)90042-E
    """

    def configure(self, model: LatentVariableModel, bound: Bound) -> tuple[list, list]:
        """Nothing to step; z has to be discrete."""
        if not require_exact(model).prior().has_enumerate_support:
            raise ConfigurationError(
                f"{type(model).__name__} has a continuous z, of which no single value has mass",
                hint="scheme=exact_em, or model=gmm|kmeans|bernoulli_mixture|poisson_mixture",
            )
        return [], []

    def initialize(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> None:
        """Start where the best by the classification likelihood starts."""
        require_exact(model).initialize_for(x, self.complete, **given)

    def complete(self, posterior: Distribution) -> Distribution:
        """The most probable z."""
        z = posterior.mean
        return Delta(torch.zeros_like(z).scatter_(-1, z.argmax(-1, keepdim=True), 1.0))

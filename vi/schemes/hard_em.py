"""EM with the most probable z in place of the posterior; k-means is a special case."""

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
    """EM with all mass of q on the mode of the posterior.

    The objective is the classification likelihood sum_n max_z log p(x_n, z | theta) + log
    p(theta), which never falls. z must be discrete.

    Args:
        tolerance: Training ends when an iteration gains less than this, in nats per datum; 0
            continues until ``trainer.max_epochs``.

    Reference: Celeux and Govaert, 1992, https://doi.org/10.1016/0167-9473(92)90042-E
    """

    def configure(self, model: LatentVariableModel, bound: Bound) -> tuple[list, list]:
        """Return no optimisers and no schedules.

        Raises:
            ConfigurationError: The model has no exact E-step, or its z is continuous.
        """
        if not require_exact(model).prior().has_enumerate_support:
            raise ConfigurationError(
                f"{type(model).__name__} has a continuous z, and no single value of it has mass",
                hint="scheme=exact_em, or model=gmm|kmeans|bernoulli_mixture|poisson_mixture",
            )
        return [], []

    def initialize(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> None:
        """Initialise from the start that is best by the classification likelihood."""
        require_exact(model).initialize_for(x, self.complete, **given)

    def complete(self, posterior: Distribution) -> Distribution:
        """Return a point mass on the most probable z, a one-hot vector."""
        z = posterior.mean
        return Delta(torch.zeros_like(z).scatter_(-1, z.argmax(-1, keepdim=True), 1.0))

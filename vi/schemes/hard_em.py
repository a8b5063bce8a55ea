"""EM with the most probable z in place of all of them; of which k-means is one case."""

from torch.distributions import Distribution
from torch.nn.functional import one_hot

from vi.bounds.base import Bound
from vi.distributions.point import Point
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

    def complete(self, posterior: Distribution) -> Distribution:
        """The most probable z."""
        z = posterior.mean
        return Point(one_hot(z.argmax(-1), z.shape[-1]).to(z.dtype))

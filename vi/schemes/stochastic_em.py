"""EM with one draw of z in place of the posterior."""

from torch.distributions import Distribution

from vi.distributions.delta import Delta
from vi.schemes.expectation_maximization import ExpectationMaximization


class StochasticEM(ExpectationMaximization):
    """EM with all mass of q on one draw from the posterior.

    The parameters form a Markov chain, which can leave poor local optima. The objective both rises
    and falls, so it is not monitored, and training runs until ``trainer.max_epochs``.

    Reference: Celeux and Diebolt, 1985
    """

    monotone = False

    def __init__(self) -> None:
        super().__init__(tolerance=0.0)

    def complete(self, posterior: Distribution) -> Distribution:
        """Return a point mass on one draw z ~ p(z|x)."""
        return Delta(posterior.sample())

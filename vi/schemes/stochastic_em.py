"""EM with one draw of z in place of all of them."""

from torch.distributions import Distribution

from vi.distributions.delta import Delta
from vi.schemes.expectation_maximization import ExpectationMaximization


class StochasticEM(ExpectationMaximization):
    """q is all mass on one draw from the posterior: a Markov chain that leaves bad optima.

    Its objective rises and falls, so nothing is watched and nothing ends it early.

    Reference: Celeux and Diebolt, 1985
    """

    monotone = False

    def __init__(self) -> None:
        super().__init__(tolerance=0.0)

    def complete(self, posterior: Distribution) -> Distribution:
        """One draw."""
        return Delta(posterior.sample())

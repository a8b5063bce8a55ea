"""Expectation maximisation."""

from torch.distributions import Distribution

from vi.schemes.expectation_maximization import ExpectationMaximization


class ExactEM(ExpectationMaximization):
    """q is the posterior: log p(x | theta) + log p(theta) never falls.

    Reference: Dempster, Laird and Rubin, 1977,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    """

    def complete(self, posterior: Distribution) -> Distribution:
        """The posterior."""
        return posterior

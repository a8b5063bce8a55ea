"""The expectation-maximisation algorithm."""

from torch.distributions import Distribution

from vi.schemes.expectation_maximization import ExpectationMaximization


class ExactEM(ExpectationMaximization):
    """EM with q(z|x) = p(z|x, theta).

    After the E-step F(q, theta) equals log p(x | theta), so log p(x | theta) + log p(theta) never
    falls from one iteration to the next. One iteration is one epoch.

    Args:
        tolerance: Training ends when an iteration gains less than this, in nats per datum; 0
            continues until ``trainer.max_epochs``.

    Reference: Dempster, Laird and Rubin, 1977,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    """

    def complete(self, posterior: Distribution) -> Distribution:
        """Return the posterior unchanged."""
        return posterior

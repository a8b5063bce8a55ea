"""What all schemes of closed-form steps share."""

from torch.distributions import Distribution
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel
from vi.models.exact import ExactModel
from vi.models.statistics import Statistics
from vi.schemes.base import Scheme
from vi.schemes.objective_monitor import ObjectiveMonitor

_PLATEAU = 1e-6  # nats per datum


class ExactScheme(Scheme):
    """No optimiser and no learning rate; the objective F(q, theta) + log p(theta) is watched.

    An implementer writes ``step``, records every half step in ``account``, and calls ``reached``
    with the objective once an epoch.

    Args:
        tolerance: Training ends when an epoch wins less than this, in nats per datum; 0 goes on
            until ``trainer.max_epochs``.

    Raises:
        ConfigurationError: A negative tolerance.
    """

    fixed_data = True
    keeps_last = True
    monotone: bool = True
    """Whether the objective never falls."""

    def __init__(self, tolerance: float = 1e-6) -> None:
        if tolerance < 0:
            raise ConfigurationError(
                f"tolerance must not be negative, got {tolerance:g}", hint="scheme.tolerance=0"
            )
        self.tolerance = tolerance
        self.monitor = ObjectiveMonitor(monotone=self.monotone)
        self.level = -float("inf")  # the objective of the last epoch, nats per datum

    def configure(
        self, model: LatentVariableModel, bound: Bound
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Nothing to step."""
        require_exact(model)
        return [], []

    def reached(self, level: float) -> bool:
        """Take the objective, in nats per datum, and whether it has risen enough to go on.

        Returns:
            Whether it stands on a plateau, an optimum or a saddle, be the tolerance 0 or not.
        """
        rise, self.level = level - self.level, level
        self.converged = 0 < self.tolerance > rise
        return rise < max(self.tolerance, _PLATEAU)


def free_energy_estimate(
    model: ExactModel, q: Distribution, statistics: Statistics, batch: Batch
) -> Estimate:
    """F(q, theta) of a batch, as the mean over its data, with the terms of a bound."""
    elbo = (model.free_energy(statistics) / statistics["count"]).expand(len(batch.x))
    kl = closed_form_kl(q, model.prior(**batch.given))
    return Estimate(elbo, elbo, {"elbo": elbo, "kl": kl, "reconstruction": elbo + kl})


def require_exact(model: LatentVariableModel) -> ExactModel:
    """The model, if its E-step is exact.

    Raises:
        ConfigurationError: It is not.
    """
    exact = model.exact()
    if exact is None:
        raise ConfigurationError(
            f"{type(model).__name__} has no exact E-step"
            + (f" with {type(model.inference).__name__}" if model.knows_posterior else ""),
            hint="choose model=gmm|kmeans|bernoulli_mixture|poisson_mixture|ppca|factor_analysis, "
            "or a scheme of gradient steps, such as scheme=joint or scheme=alternating",
        )
    return exact

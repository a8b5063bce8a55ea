"""The base of the schemes with closed-form E- and M-steps."""

import math

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
    """A scheme of closed-form steps, without optimiser or learning rate.

    The objective F(q, theta) + log p(theta) is recorded after every half step. An implementer
    writes ``step``, records every half step with ``monitor.record``, and calls ``reached`` with
    the objective once per epoch. Comes for free: convergence by ``tolerance``, and an error if the
    objective falls where it must not.

    Args:
        tolerance: Training ends when an epoch gains less than this, in nats per datum; 0 continues
            until ``trainer.max_epochs``.

    Raises:
        ConfigurationError: ``tolerance`` is negative.
    """

    fixed_data = True
    keeps_last = True
    monotone: bool = True
    """Whether the objective can never fall."""

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
        """Return no optimisers and no schedules.

        Raises:
            ConfigurationError: The model has no exact E-step.
        """
        require_exact(model)
        return [], []

    def objective(self) -> float | None:
        """F(q, theta) + log p(theta) after the E-step, which never falls."""
        return self.level if math.isfinite(self.level) else None

    def reached(self, level: float) -> bool:
        """Store the objective of an epoch, set ``converged``, and test for a plateau.

        Args:
            level: The objective in nats per datum.

        Returns:
            Whether the epoch gained less than max(tolerance, 1e-6) nats per datum. The model is
            then at an optimum or at a saddle point, even if ``tolerance`` is 0 and training
            continues.
        """
        rise, self.level = level - self.level, level
        self.converged = 0 < self.tolerance > rise
        return rise < max(self.tolerance, _PLATEAU)


def free_energy_estimate(
    model: ExactModel, q: Distribution, statistics: Statistics, batch: Batch
) -> Estimate:
    """Return F(q, theta) of a batch as an ``Estimate``.

    Args:
        model: A model with an exact E-step.
        q: q(z|x) of the batch, batch_shape (B,).
        statistics: The sufficient statistics of the batch under q.
        batch: The data.

    Returns:
        The mean of F over the batch as the value of each datum, (B,), in nats, with the terms
        ``elbo``, ``kl`` and ``reconstruction``.
    """
    elbo = (model.free_energy(statistics) / statistics["count"]).expand(len(batch.x))
    kl = closed_form_kl(q, model.prior(**batch.given))
    return Estimate(elbo, elbo, {"elbo": elbo, "kl": kl, "reconstruction": elbo + kl})


def require_exact(model: LatentVariableModel) -> ExactModel:
    """Return the model if its E-step is exact.

    Raises:
        ConfigurationError: Its E-step is not exact.
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

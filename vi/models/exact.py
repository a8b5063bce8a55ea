"""The role of a model whose posterior, evidence and M-step have closed forms."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.kl import closed_form_kl
from vi.inference.exact import Exact
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.models.spare import Spare
from vi.models.statistics import Statistics

__all__ = ["ExactModel"]

Complete = Callable[[Distribution], Distribution]
"""What a scheme makes of the posterior: the q of its E-step."""


class ExactModel(LatentVariableModel):
    """A model whose posterior, evidence and M-step have closed forms.

    An implementer writes ``prior``, ``likelihood``, ``exact_posterior`` and ``log_evidence``; and
    for EM ``statistics``, ``energy`` and ``m_step``. Comes for free: ``e_step``, ``free_energy``
    and ``gap``, and everything of a ``LatentVariableModel``.

    Its q(z|x) is the exact posterior, or another one if it is told so (``infer_with``); then log
    p(x) = ELBO + ``gap`` is known term by term.

    Exact models compute in double precision: the rise of their objective, which is watched while
    they train, is smaller than the rounding of single precision long before they converge. Their
    data are flat, ``data_shape`` is (D,).
    """

    takes_doubles = True
    knows_posterior = True
    latent_dtype = torch.float64

    def __init__(self) -> None:
        super().__init__()
        self.inference = Exact()

    @abstractmethod
    def exact_posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """p(z|x) for x (B, D), with batch_shape (B,)."""

    def exact(self) -> "ExactModel | None":
        """See ``LatentVariableModel``."""
        return self if type(self.inference) is Exact else None

    def gap(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """KL(q(z|x) || p(z|x)) = log p(x) - ELBO, in nats.

        Raises:
            ConfigurationError: The KL of this pair has no closed form.
        """
        return closed_form_kl(self.posterior(x, **given), self.exact_posterior(x, **given))

    def calming(self) -> str:
        """See ``LatentVariableModel``; networks beside an exact model read x as it is."""
        return "scale the column; or the exact model alone, with scheme=exact_em, needs no encoder"

    def atlas(self) -> tuple[str, Tensor]:
        """Every value of a discrete z, by falling weight; else -2 and 2 along each axis."""
        p = self.prior()
        if p.has_enumerate_support:
            z = p.enumerate_support()
            return "components", z[p.log_prob(z).argsort(descending=True)]
        unit = torch.eye(p.event_shape.numel(), dtype=p.mean.dtype, device=p.mean.device)
        return "directions", torch.stack([-2 * unit, 2 * unit], dim=1).flatten(0, 1)

    @abstractmethod
    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """log p(x) in nats."""

    @abstractmethod
    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """The expected sufficient statistics of (x, z) with z ~ q, summed over the batch.

        Args:
            x: (B, D).
            q: batch_shape (B,), of the family of the exact posterior, or all mass on one point;
                only ``mean``, ``entropy()`` and, for continuous z, ``covariance_matrix`` are used.
            **given: What the model conditions on.
        """

    @abstractmethod
    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """sum_n E_q[log p(x_n, z_n | theta)] at the present theta, in nats."""

    @abstractmethod
    def m_step(self, statistics: Statistics) -> None:
        """Set theta to the maximum of ``energy`` + ``log_prior``.

        Raises:
            NumericsError: The maximum does not exist, such as a singular covariance.
        """

    def initialize_for(self, x: Tensor, complete: Complete, **given: Tensor) -> None:
        """As ``initialize``, for a scheme whose E-step has ``complete(posterior)`` as its q."""
        del complete
        self.initialize(x, **given)

    def spare(
        self, x: Tensor, q: Distribution, sofar: Statistics, before: Spare | None
    ) -> Spare | None:
        """Data to refill components with, if the q of a batch has its mass on single points.

        Args:
            x: The batch.
            q: Its q.
            sofar: The statistics of this batch and of those before it.
            before: What those could spare.
        """
        del x, q, sofar
        return before

    def m_step_refilled(self, statistics: Statistics, spare: Spare | None) -> Statistics:
        """The M-step, before which what was spared may go to a component without data.

        Returns:
            The statistics after that; the objective is not below that of the ones given.
        """
        del spare
        self.m_step(statistics)
        return statistics

    def reduce(self, statistics: Statistics) -> Statistics:
        """Take a step that EM lacks, after the M-step: parameter expansion.

        Returns:
            The statistics after it; the objective is not below that of the ones given.
        """
        return statistics

    def leave_saddle(self, statistics: Statistics) -> bool:
        """Move to a greater objective where that of EM has stopped rising, if there is a way.

        Args:
            statistics: Of the exact posterior at the present theta.

        Returns:
            Whether theta has moved.
        """
        del statistics
        return False

    def rounding(self, statistics: Statistics) -> float:
        """How far rounding may move the energy at the present theta, in nats, beyond its size."""
        del statistics
        return 0.0

    def log_prior(self) -> Float[Tensor, ""]:
        """log p(theta) up to a constant, in nats; 0 for maximum likelihood."""
        return torch.zeros((), dtype=torch.float64)

    @admitting
    def e_step(self, x: Tensor, **given: Tensor) -> Statistics:
        """The statistics under the exact posterior."""
        return self.statistics(x, self.exact_posterior(x, **given), **given)

    def free_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """F(q, theta) = sum_n E_q[log p(x_n, z_n)] + H(q_n); log p(x) under the exact posterior.

        Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
        """
        return self.energy(statistics) + statistics["entropy"]

    def objective(self, statistics: Statistics) -> float:
        """F(q, theta) + log p(theta), which no half step of EM lowers, in nats."""
        return float(self.free_energy(statistics) + self.log_prior())

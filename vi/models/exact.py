"""The base class of models whose posterior, evidence and M-step have closed forms."""

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
"""A scheme's map from the exact posterior to the q of its E-step."""


class ExactModel(LatentVariableModel):
    """A model whose posterior, evidence and M-step have closed forms.

    An implementer writes ``prior``, ``likelihood``, ``exact_posterior`` and ``log_evidence``, and
    for EM ``statistics``, ``energy`` and ``m_step``. Comes for free: ``e_step``, ``free_energy``,
    ``objective`` and ``gap``, and everything of a ``LatentVariableModel``.

    q(z|x) is the exact posterior unless ``infer_with`` replaces it; with another q(z|x) the
    identity log p(x) = ELBO + ``gap`` can be checked term by term.

    Exact models compute in double precision. Training watches the rise of the objective, which is
    below the rounding of single precision long before EM converges. Data are flat: ``data_shape``
    is (D,).
    """

    takes_doubles = True
    knows_posterior = True
    latent_dtype = torch.float64

    def __init__(self) -> None:
        super().__init__()
        self.inference = Exact()

    @abstractmethod
    def exact_posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """Return p(z|x) for x (B, D), with batch_shape (B,)."""

    def exact(self) -> "ExactModel | None":
        """Return this model if q(z|x) is its exact posterior, otherwise None."""
        return self if type(self.inference) is Exact else None

    def gap(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """Return KL(q(z|x) || p(z|x)) = log p(x) - ELBO, in nats, (B,).

        Raises:
            ConfigurationError: The KL of this pair of distributions has no closed form.
        """
        return closed_form_kl(self.posterior(x, **given), self.exact_posterior(x, **given))

    def calming(self) -> str:
        """Return the hint for data too large for networks: an encoder reads x without scaling."""
        return "scale the column; or the exact model alone, with scheme=exact_em, needs no encoder"

    def atlas(self) -> tuple[str, Tensor]:
        """Return all values of a discrete z by falling weight, or -2 and 2 along each axis."""
        p = self.prior()
        if p.has_enumerate_support:
            z = p.enumerate_support()
            return "components", z[p.log_prob(z).argsort(descending=True)]
        unit = torch.eye(p.event_shape.numel(), dtype=p.mean.dtype, device=p.mean.device)
        return "directions", torch.stack([-2 * unit, 2 * unit], dim=1).flatten(0, 1)

    @abstractmethod
    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """Return log p(x) in nats, (B,)."""

    @abstractmethod
    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """Return the expected sufficient statistics of (x, z) with z ~ q, summed over the batch.

        Args:
            x: (B, D).
            q: Distribution with batch_shape (B,) of the family of the exact posterior, or a point
                mass. Only ``mean``, ``entropy()`` and, for continuous z, ``covariance_matrix`` are
                used.
            **given: The variables that the model conditions on.
        """

    @abstractmethod
    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_n E_q[log p(x_n, z_n | theta)] at the present theta, in nats."""

    @abstractmethod
    def m_step(self, statistics: Statistics) -> None:
        """Set theta to the maximum of ``energy`` + ``log_prior``.

        Raises:
            NumericsError: The maximum does not exist, for example because a covariance is
                singular.
        """

    def initialize_for(self, x: Tensor, complete: Complete, **given: Tensor) -> None:
        """Initialise for a scheme whose E-step uses q = ``complete(posterior)``."""
        del complete
        self.initialize(x, **given)

    def spare(
        self, x: Tensor, q: Distribution, sofar: Statistics, before: Spare | None
    ) -> Spare | None:
        """Collect data that can refill empty components, for a q that is a point mass.

        Args:
            x: The batch, (B, D).
            q: q(z|x) of the batch.
            sofar: The statistics of this batch and of the batches before it.
            before: The result for the batches before it.

        Returns:
            The data collected so far; None if the model never refills components.
        """
        del x, q, sofar
        return before

    def m_step_refilled(self, statistics: Statistics, spare: Spare | None) -> Statistics:
        """Take the M-step, after moving spare data to components without data if that helps.

        Returns:
            The statistics after the move; the objective is at least that of the statistics given.
        """
        del spare
        self.m_step(statistics)
        return statistics

    def reduce(self, statistics: Statistics) -> Statistics:
        """Take the additional step of parameter-expanded EM, after the M-step; by default none.

        Returns:
            The statistics after the step; the objective is at least that of the statistics given.
        """
        return statistics

    def leave_saddle(self, statistics: Statistics) -> bool:
        """Move theta to a greater objective where EM has stopped rising, if such a move is known.

        Args:
            statistics: Statistics of the exact posterior at the present theta.

        Returns:
            Whether theta has changed.
        """
        del statistics
        return False

    def rounding(self, statistics: Statistics) -> float:
        """Return the rounding error of ``energy``, in nats, beyond that expected from its size."""
        del statistics
        return 0.0

    def log_prior(self) -> Float[Tensor, ""]:
        """Return log p(theta) up to a constant, in nats; 0 for maximum likelihood."""
        return torch.zeros((), dtype=torch.float64)

    @admitting
    def e_step(self, x: Tensor, **given: Tensor) -> Statistics:
        """Return the statistics under the exact posterior."""
        return self.statistics(x, self.exact_posterior(x, **given), **given)

    def free_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return F(q, theta) = sum_n E_q[log p(x_n, z_n)] + H(q_n), in nats.

        Under the exact posterior this is sum_n log p(x_n).

        Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
        """
        return self.energy(statistics) + statistics["entropy"]

    def objective(self, statistics: Statistics) -> float:
        """Return F(q, theta) + log p(theta) in nats, which no half step of EM lowers."""
        return float(self.free_energy(statistics) + self.log_prior())

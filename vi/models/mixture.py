"""The role of a mixture: z is one of C components."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.delta import Delta
from vi.distributions.one_hot import one_hot
from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.inference.base import Inference
from vi.initializations.base import Initialization
from vi.initializations.lloyd import partition
from vi.models.exact import Complete, ExactModel
from vi.models.selected import Selected
from vi.models.spare import Spare
from vi.models.starts import Starts
from vi.models.statistics import Statistics
from vi.models.successive_halving import ROWS, STANDS, SuccessiveHalving

# The weight of a component without data, in place of 0. The objective is the same to rounding, and
# its logarithm times its mass of 0 is 0 and not NaN.
_LEAST_WEIGHT = 1e-300


class MixtureOptions(TypedDict, total=False):
    """What every mixture takes by name: see ``Mixture``."""

    learn_weights: bool
    restarts: int | None
    inference: Inference | None


class Mixture(ExactModel):
    """p(x) = sum_c pi_c p(x|c); z is one-hot (C,), and p(x|z) = sum_c z_c p(x|c).

    An implementer writes ``component_log_prob``, ``component_means``, ``draw``, ``moments``,
    ``moment_energy`` and ``fit``, and may write ``calibrate`` and ``log_prior``; its constructor
    hands ``**options: Unpack[MixtureOptions]`` on. Comes for free: everything of an
    ``ExactModel``.

    Args:
        data_shape: Event shape of the data, which are taken flat, (D,).
        num_components: C.
        initialization: Chooses the first centres among the data.
        learn_weights: If not, pi_c = 1/C.
        restarts: So many starts run 10 iterations of EM; up to 2^19 numbers of data times
            components the better half runs 20 more, and the better half of that 60 more; the
            best goes on. If not given, ten up to 2^24 numbers, and one beyond.
        inference: Gives q(z|x) in place of the exact posterior, if it is given; an implementer
            hands it to ``infer_with`` once the parameters of p(x|c) are drawn.

    Raises:
        ConfigurationError: ``num_components`` or ``restarts`` below 1.

    Reference: Dempster, Laird and Rubin, 1977, https://www.jstor.org/stable/2984875; for the
    starts Biernacki, Celeux and Govaert, 2003, https://doi.org/10.1016/S0167-9473(02)00163-9
    """

    weight_logits: Tensor
    prior_count: float
    """n_0, the pseudo-data of each component."""
    prior_hint = "model.prior_count=1"

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int,
        initialization: Initialization,
        *,
        learn_weights: bool = True,
        restarts: int | None = None,
        inference: Inference | None = None,
    ) -> None:
        super().__init__()
        del inference
        require_positive("num_components", num_components)
        require_positive("restarts", 1 if restarts is None else restarts)
        self.data_shape = (math.prod(data_shape),)
        self.num_components, self.restarts = num_components, restarts
        self.initialization, self.learn_weights = initialization, learn_weights
        logits = torch.zeros(num_components, dtype=torch.float64)
        if learn_weights:
            self.weight_logits = nn.Parameter(logits)
        else:
            self.register_buffer("weight_logits", logits)

    @abstractmethod
    def component_log_prob(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """log p(x|c) in nats, of x in double precision."""

    @abstractmethod
    def component_means(self) -> Float[Tensor, "C D"]:
        """E[x|c]."""

    @abstractmethod
    def draw(self, component: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """One x ~ p(x|c) for each c."""

    @abstractmethod
    def moments(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """What ``moment_energy`` and ``fit`` need of the batch, as sums over it."""

    @abstractmethod
    def moment_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """sum_nc r_nc log p(x_n|c) at the present parameters."""

    @abstractmethod
    def fit(self, statistics: Statistics) -> None:
        """Set the parameters of all p(x|c) to the maximum of ``moment_energy`` + ``log_prior``.

        Where neither data nor prior determine a component, it stays where it is.

        Raises:
            NumericsError: It does not exist; then nothing has been set.
        """

    def calibrate(self, x: Float[Tensor, "N D"]) -> None:
        """Told the training data before the first start."""
        del x

    def log_weights(self) -> Float[Tensor, " C"]:
        """log pi."""
        return self.weight_logits.log_softmax(-1)

    def log_joint_table(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """log p(x, z = c) in nats."""
        return self.component_log_prob(self._double(x)) + self.log_weights()

    def prior(self, **given: Tensor) -> Distribution:
        """p(z) = pi."""
        del given
        return one_hot(logits=self.weight_logits)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) for z (..., C), one-hot or a mean of one-hots."""
        del given
        return Selected(self, z)

    def exact_posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """p(z|x), the responsibilities."""
        del given
        return one_hot(logits=self.log_joint_table(x))

    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z), (K, B) for z (K, B, C)."""
        return (z * self.log_joint_table(x)).sum(-1), self.prior(**given).log_prob(z)

    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """log sum_c p(x, z = c)."""
        del given
        return self.log_joint_table(x).logsumexp(-1)

    @torch.no_grad()
    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """``count``, ``entropy``, ``mass`` (C,) = sum_n r_nc, and the components' moments."""
        del given
        r = q.mean
        sums = {"count": r.new_tensor(len(x)), "entropy": q.entropy().sum(), "mass": r.sum(0)}
        return Statistics(sums | self.moments(self._double(x), r))

    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """sum_c N_c log pi_c + sum_nc r_nc log p(x_n|c)."""
        return statistics["mass"] @ self.log_weights() + self.moment_energy(statistics)

    @torch.no_grad()
    def m_step(self, statistics: Statistics) -> None:
        """The maximum of the components, and pi_c = N_c / N.

        Raises:
            NumericsError: A component has neither data nor a prior, or no covariance; then
                nothing has been set.
        """
        self._require_mass(statistics["mass"])
        self._maximize(statistics)

    @torch.no_grad()
    def spare(
        self, x: Tensor, q: Distribution, sofar: Statistics, before: Spare | None
    ) -> Spare | None:
        """See ``ExactModel``; asked for only while there is a component without data."""
        if not isinstance(q, Delta) or (before and before.needless):
            return before
        x = self._double(x)
        if (sofar["mass"] > 0).all():
            return Spare.none(x, self.num_components)
        found = Spare.of(x, q.mean, (q.mean * self.log_joint_table(x)).sum(-1))
        return before | found if before else found

    @torch.no_grad()
    def m_step_refilled(self, statistics: Statistics, spare: Spare | None) -> Statistics:
        """The M-step in which components without data take each the least probable of another's.

        With fixed weights and no prior the objective cannot fall by it: the datum has its greatest
        density in a component of its own, and the others are no worse off without it. Where
        weights are learned, or there is a prior, it may be greater without it; then the components
        stay without data.
        """
        if spare is None or spare.needless or (statistics["mass"] > 0).all():
            self.m_step(statistics)
            return statistics
        self._maximize(statistics)
        enough = self.objective(statistics) + STANDS * float(statistics["count"])
        state = {name: value.clone() for name, value in self.state_dict().items()}
        refilled = spare.refilled(statistics, lambda x, z: self.statistics(x, Delta(z)))
        with suppress(NumericsError):
            self._maximize(refilled)
            if self.objective(refilled) > enough:
                return refilled
        self.load_state_dict(state)
        return statistics

    def _maximize(self, statistics: Statistics) -> None:
        self.fit(statistics)
        if self.learn_weights:
            weights = statistics["mass"] / statistics["count"]
            self.weight_logits.copy_(weights.clamp(min=_LEAST_WEIGHT).log())

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Start where the best of ``restarts`` starts has come to by EM.

        Raises:
            DataError: There are more components than different data.
            NumericsError: No start has a maximum of its M-step.
        """
        self.initialize_for(x, lambda posterior: posterior, **given)

    @torch.no_grad()
    def initialize_for(self, x: Tensor, complete: Complete, **given: Tensor) -> None:
        """See ``ExactModel``: the iterations and the objective are those with this q.

        A start is the M-step of a partition by Lloyd's algorithm, about the mean of the data; the
        first is that of the least inertia of at least ten.
        """
        x = self._double(x).flatten(1)
        self.calibrate(x)

        def infer(rows: Tensor) -> Distribution:
            return complete(self.exact_posterior(rows))

        plan = Starts(self.initialization, self.num_components, self.restarts)
        starts = plan.centres(x, soft=not isinstance(infer(x[:1]), Delta))
        if len(starts) == 1:
            self._start(x, starts[0])
        else:
            each = [partial(self._start, x, centres) for centres in starts]
            SuccessiveHalving(self, x, infer).run(each, self.num_components)

    def _start(self, x: Tensor, centres: Tensor) -> None:
        """The M-step of data that belong to the nearest centre."""
        shift = x.mean(0)
        nearest = partition(x - shift, centres - shift).nearest
        blocks = zip(x.split(ROWS), nearest.split(ROWS), strict=True)
        first, *others = (
            self.statistics(rows, Delta(nn.functional.one_hot(own, self.num_components).to(rows)))
            for rows, own in blocks
        )
        self.m_step(sum(others, start=first))

    def _require_mass(self, mass: Float[Tensor, " C"]) -> None:
        """Refuse a component that neither data nor prior determine."""
        if self.prior_count or (mass > 0).all():
            return
        c = int(mass.argmin())
        raise NumericsError(
            f"component {c} is empty (weight {mass[c]:.4g} of {mass.sum():.4g} data)",
            hint=f"{self.prior_hint}, or num_components={len(mass) - 1}",
        )

    def _double(self, x: Tensor) -> Tensor:
        return x.to(self.weight_logits)


def require_prior_count(prior_count: float) -> None:
    """Refuse a negative number of pseudo-data.

    Raises:
        ConfigurationError: It is negative.
    """
    if not prior_count >= 0:
        raise ConfigurationError(
            f"prior_count must be at least 0, got {prior_count:g}", hint="raise prior_count"
        )

"""The base class of mixtures: z is one of C components."""

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

# Weight of a component without data, in place of 0. It changes the objective by less than
# rounding, and its logarithm times a mass of 0 is 0 rather than NaN.
_LEAST_WEIGHT = 1e-300


class MixtureOptions(TypedDict, total=False):
    """The keyword arguments of every mixture, documented in ``Mixture``."""

    learn_weights: bool
    restarts: int | None
    inference: Inference | None


class Mixture(ExactModel):
    """p(x) = sum_c pi_c p(x|c); z is one-hot (C,), and p(x|z) = sum_c z_c p(x|c).

    An implementer writes ``component_log_prob``, ``component_means``, ``draw``, ``moments``,
    ``moment_energy`` and ``fit``, and may write ``calibrate`` and ``log_prior``. The constructor
    passes ``**options: Unpack[MixtureOptions]`` on. Comes for free: everything of an
    ``ExactModel``.

    Args:
        data_shape: Event shape of the data; the model flattens them to (D,).
        num_components: C.
        initialization: Chooses the first centres among the data.
        learn_weights: Whether pi is learned; otherwise pi_c = 1/C.
        restarts: Number of starts, each of 10 iterations of EM. If numbers in the data times C are
            at most 2^19, the better half runs 20 more, and the better half of that 60 more; the
            best continues. If not given, ten for products up to 2^24 and one beyond.
        inference: Replaces the exact posterior as q(z|x), if given. An implementer passes it to
            ``infer_with`` once the parameters of p(x|c) exist.

    Raises:
        ConfigurationError: ``num_components`` or ``restarts`` is below 1.

    Reference: Dempster, Laird and Rubin, 1977, https://www.jstor.org/stable/2984875; for the
    starts Biernacki, Celeux and Govaert, 2003, https://doi.org/10.1016/S0167-9473(02)00163-9
    """

    weight_logits: Tensor
    prior_count: float
    """n_0, the number of pseudo-data of each component."""
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
        """Return log p(x|c) in nats, for x in double precision."""

    @abstractmethod
    def component_means(self) -> Float[Tensor, "C D"]:
        """Return E[x|c]."""

    @abstractmethod
    def draw(self, component: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """Draw one x ~ p(x|c) for each c."""

    @abstractmethod
    def moments(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """Return the sums over the batch that ``moment_energy`` and ``fit`` require, by name."""

    @abstractmethod
    def moment_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_nc r_nc log p(x_n|c) at the present parameters, in nats."""

    @abstractmethod
    def fit(self, statistics: Statistics) -> None:
        """Set the parameters of all p(x|c) to the maximum of ``moment_energy`` + ``log_prior``.

        A component that neither data nor prior determine keeps its parameters.

        Raises:
            NumericsError: The maximum does not exist; then no parameter has changed.
        """

    def calibrate(self, x: Float[Tensor, "N D"]) -> None:
        """Store constants of the training data, before the first start."""
        del x

    def log_weights(self) -> Float[Tensor, " C"]:
        """Return log pi."""
        return self.weight_logits.log_softmax(-1)

    def log_joint_table(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Return log p(x, z = c) in nats for every c."""
        return self.component_log_prob(self._double(x)) + self.log_weights()

    def prior(self, **given: Tensor) -> Distribution:
        """Return p(z) = pi, over one-hot z."""
        del given
        return one_hot(logits=self.weight_logits)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """Return p(x|z) for z (..., C), one-hot or a mean of one-hot vectors."""
        del given
        return Selected(self, z)

    def exact_posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """Return p(z|x), whose mean contains the responsibilities r (B, C)."""
        del given
        return one_hot(logits=self.log_joint_table(x))

    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(x, z) and log p(z) in nats, (K, B) for z (K, B, C)."""
        return (z * self.log_joint_table(x)).sum(-1), self.prior(**given).log_prob(z)

    def log_evidence(self, x: Tensor, **given: Tensor) -> Float[Tensor, " B"]:
        """Return log p(x) = log sum_c p(x, z = c) in nats."""
        del given
        return self.log_joint_table(x).logsumexp(-1)

    @torch.no_grad()
    def statistics(self, x: Tensor, q: Distribution, **given: Tensor) -> Statistics:
        """Return ``count``, ``entropy``, ``mass`` N_c = sum_n r_nc (C,), and ``moments``."""
        del given
        r = q.mean
        sums = {"count": r.new_tensor(len(x)), "entropy": q.entropy().sum(), "mass": r.sum(0)}
        return Statistics(sums | self.moments(self._double(x), r))

    def energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_c N_c log pi_c + sum_nc r_nc log p(x_n|c), in nats."""
        return statistics["mass"] @ self.log_weights() + self.moment_energy(statistics)

    @torch.no_grad()
    def m_step(self, statistics: Statistics) -> None:
        """Maximise over the parameters of the components, and set pi_c = N_c / N.

        Raises:
            NumericsError: A component has neither data nor a prior, or its covariance does not
                exist; then no parameter has changed.
        """
        self._require_mass(statistics["mass"])
        self._maximize(statistics)

    @torch.no_grad()
    def spare(
        self, x: Tensor, q: Distribution, sofar: Statistics, before: Spare | None
    ) -> Spare | None:
        """Collect the least probable datum of each component, while a component is empty."""
        if not isinstance(q, Delta) or (before and before.needless):
            return before
        x = self._double(x)
        if (sofar["mass"] > 0).all():
            return Spare.none(x, self.num_components)
        found = Spare.of(x, q.mean, (q.mean * self.log_joint_table(x)).sum(-1))
        return before | found if before else found

    @torch.no_grad()
    def m_step_refilled(self, statistics: Statistics, spare: Spare | None) -> Statistics:
        """Take the M-step, after giving each empty component the least probable datum of another.

        With fixed weights and no prior this cannot lower the objective: the datum has its greatest
        density in a component of its own, and the others lose nothing without it. With learned
        weights or a prior the objective may be greater without the move; then the components
        remain empty.
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
        """Set the parameters of the components, and the weights if they are learned."""
        self.fit(statistics)
        if self.learn_weights:
            weights = statistics["mass"] / statistics["count"]
            self.weight_logits.copy_(weights.clamp(min=_LEAST_WEIGHT).log())

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Set the parameters to the best of ``restarts`` starts after some iterations of EM.

        Raises:
            DataError: There are more components than distinct data.
            NumericsError: The M-step has no maximum in any start.
        """
        self.initialize_for(x, lambda posterior: posterior, **given)

    @torch.no_grad()
    def initialize_for(self, x: Tensor, complete: Complete, **given: Tensor) -> None:
        """Initialise with iterations and an objective that use q = ``complete(posterior)``.

        A start is the M-step of a partition by Lloyd's algorithm. The first one is the partition
        with the least inertia of at least ten.
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
        """Take the M-step in which each datum belongs to the nearest centre."""
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
        ConfigurationError: ``prior_count`` is negative.
    """
    if not prior_count >= 0:
        raise ConfigurationError(
            f"prior_count must be at least 0, got {prior_count:g}", hint="raise prior_count"
        )

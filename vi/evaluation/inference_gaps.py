"""The gap log p(x) - ELBO(q), split between the family of q and the encoder."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vi.bounds.elbo import LogWeightELBO
from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.distributions.protocols import OnePass
from vi.errors import ConfigurationError, NumericsError, require_positive
from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.log_likelihood import DATA_AT_ONCE, chunks
from vi.evaluation.log_weights import LogWeights
from vi.evaluation.reliability import mean_interval
from vi.evaluation.tightness import Logs, Weighed, of_states
from vi.inference.base import require_parametric
from vi.inference.exact import Exact
from vi.inference.given import with_q
from vi.models.base import LatentVariableModel
from vi.progress import watched
from vi.refinement.base import Refinement

_REFINED_AT_ONCE = 4 * DATA_AT_ONCE  # a gradient of a small model takes as long for few data
_GAPS = {"amortization_gap": "amortization_error", "approximation_gap": "approximation_error"}


class InferenceGaps(Evaluation):
    """The gap log p(x) - ELBO(q), as the sum of an approximation gap and an amortization gap.

    Let q* be the best q of the family for one datum, found by refining the encoder's output. Then

        log p(x) - ELBO(q) = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q)].

    The first term is the approximation gap, which a richer family of q closes. The second is the
    amortization gap, which a better encoder or longer training closes. A refinement that has not
    converged counts what it lacks as approximation.

    log p(x) is exact where the model knows it, or where q enumerates the states of z. Elsewhere it
    is estimated by importance sampling from q*, and ``pareto_k`` tells how far to trust it (see
    ``reliable``). Where it is not reliable, the approximation gap is at least the number given. An
    exact posterior has no gaps.

    Args:
        refinement: Finds q*; it needs enough steps to converge.
        num_samples: K, the number of draws from each of q and q* for each datum.
        num_draws: Number of draws for each gradient of the refinement.

    Raises:
        ConfigurationError: A number of draws is not positive, or ``num_samples`` is above ten
            million.

    Reference: Cremer, Li and Duvenaud, 2018, https://arxiv.org/abs/1801.03558
    """

    units: ClassVar = ImportanceSampling.units

    def __init__(
        self, refinement: Refinement, num_samples: int = 1000, num_draws: int = 10
    ) -> None:
        require_samples(num_samples)
        require_positive("num_draws", num_draws)
        self.refinement, self.num_samples = refinement, num_samples
        self.bound = LogWeightELBO(num_draws)
        self.log_likelihood = ImportanceSampling(num_samples)

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Return log p(x), ELBO(q*), both gaps and their errors in nats, each (B,).

        The errors are Monte-Carlo standard errors, NaN for one sample.

        Raises:
            ConfigurationError: q(z|x) has no variational parameters to refine, or its ELBO has no
                gradient in them.
            NumericsError: An ELBO or log p(x) is not finite.
        """
        groups = []
        for rows in groups_of_rows(len(x), _REFINED_AT_ONCE):
            group = {k: v[rows] for k, v in given.items()}
            groups.append(self._measured(model, x[rows], group))
        names = groups[0].keys()
        columns = {name: torch.cat([group[name] for group in groups]) for name in names}
        _require_finite(columns)
        return columns

    def climbed(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Return the objective of the refinement, lambda (B, *P) -> (B,), and its start lambda(x).

        Raises:
            ConfigurationError: q(z|x) has no variational parameters to refine, or its ELBO has no
                gradient in them.
        """
        inference = require_parametric(model.inference, type(self).__name__)
        said = inference.parameters_of(model, x, **given)
        _require_gradient(inference.at(model, said))

        def objective(parameters: Tensor) -> Tensor:
            q = inference.at(model, parameters)
            return self.bound(with_q(model, q), x, **given).surrogate

        return objective, said

    def _measured(
        self, model: LatentVariableModel, x: Tensor, given: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, " B"]]:
        evidence = model.log_evidence(x, **given)
        if isinstance(model.inference, Exact) and evidence is not None:
            return _without_gap(evidence, self.num_samples)
        objective, said = self.climbed(model, x, **given)
        best = self.refinement(objective, said)
        at = watched((said, best))
        first, last = (self._weighed(model, q, x, given) for q in at)
        last = last if evidence is None else last.knowing(evidence.double())
        return {
            "log_likelihood": last.log_likelihood,
            "standard_error": last.error,
            "effective_sample_size": last.effective_sample_size,
            "pareto_k": last.pareto_k,
            "refined_elbo": last.elbo,
            "approximation_gap": last.log_likelihood - last.elbo,
            "approximation_error": last.gap_error,
            "amortization_gap": last.elbo - first.elbo,
            "amortization_error": first.elbo_error.hypot(last.elbo_error),
        }

    def _weighed(
        self,
        model: LatentVariableModel,
        parameters: Tensor,
        x: Tensor,
        given: Mapping[str, Tensor],
    ) -> Weighed:
        """Weigh the q of each datum, with as many data at once as ``log_likelihood`` has."""
        inference, groups = require_parametric(model.inference, type(self).__name__), []
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            q, group = (
                inference.at(model, parameters[rows]),
                {k: v[rows] for k, v in given.items()},
            )
            groups.append(self._weights(model, q, x[rows], group))
        return Weighed(*map(torch.cat, zip(*groups, strict=True)))

    def _weights(
        self, model: LatentVariableModel, q: Distribution, x: Tensor, given: Mapping[str, Tensor]
    ) -> Weighed:
        """Weigh draws of q, w = p(x, z) / q(z|x), or all states of z if q enumerates them."""
        if q.has_enumerate_support:
            return of_states(model, q, x, given, self.num_samples)
        weights, logs = LogWeights(self.num_samples), Logs()
        for size in watched(list(chunks(self.num_samples, x))):
            at = draw(q, size)
            log_joint, log_q = model.log_joint(x, at.z, **given), at.log_q
            weights.add(log_joint, log_q)
            logs.add((log_joint - log_q).double())
        return logs.beside(*weights.estimates(self.num_samples))

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Return the mean of each column in nats per datum, with its errors.

        ``_se`` is the Monte-Carlo error of a mean over these data, and ``_data_se`` the standard
        error over data, which contains it. A gap has a 95 % interval, except the approximation gap
        where log p(x) is only a lower bound.
        """
        numbers = self.log_likelihood.summarize(columns)
        numbers |= _of_mean("refined_elbo", columns["refined_elbo"])
        for name, error in _GAPS.items():
            numbers |= _of_mean(name, columns[name])
            if self.num_samples > 1:
                numbers |= _with_error(name, columns[name], columns[error])
        if self.num_samples < 2:
            return numbers
        numbers["approximation_gap_reliable"] = numbers["log_likelihood_reliable"]
        if "log_likelihood_lower" not in numbers:
            del numbers["approximation_gap_lower"], numbers["approximation_gap_upper"]
        else:  # the bias of a logarithm
            bias = mean_interval(columns["log_likelihood"], columns["standard_error"])[1]
            bias -= numbers["log_likelihood"] + 2 * numbers["log_likelihood_se"]
            numbers["approximation_gap_upper"] += bias
        return numbers

    def said(self, model: LatentVariableModel, numbers: Mapping[str, float]) -> list[str]:
        """Return which part of the gap is whose, and which options would win how much."""
        from vi.evaluation.gap_advice import advice  # knows every family, also slow imports

        return advice(model, numbers)


def _require_gradient(q: Distribution) -> None:
    if q.has_rsample or q.has_enumerate_support or isinstance(q, OnePass):
        return
    raise ConfigurationError(
        f"the gap needs the best q(z|x) of each datum, and the ELBO has no gradient in a "
        f"{type(q).__name__} of so many states",
        hint="latent_dim=10 bits or fewer are summed over; evaluation=importance_sampling needs "
        "no gradient",
    )


def _without_gap(evidence: Tensor, num_samples: int) -> dict[str, Tensor]:
    """Return the columns of data whose q is the posterior."""
    evidence = evidence.double()
    none = torch.zeros_like(evidence)
    return {
        "log_likelihood": evidence,
        "standard_error": none,
        "effective_sample_size": none + num_samples,
        "pareto_k": none - math.inf,
        "refined_elbo": evidence,
        **{name: none for pair in _GAPS.items() for name in pair},
    }


def _require_finite(columns: Mapping[str, Tensor]) -> None:
    whole = columns["log_likelihood"] + columns["refined_elbo"] + columns["amortization_gap"]
    lost = ~whole.isfinite()
    if lost.any():
        raise NumericsError(
            f"the ELBO or log p(x) of {int(lost.sum())} of {len(lost)} data is not finite",
            hint="look at the model's log_joint and at q(z|x) there; a refinement with a smaller "
            "lr takes shorter steps",
        )


def _of_mean(name: str, column: Float[Tensor, " N"]) -> dict[str, float]:
    numbers = {name: column.mean().item()}
    if len(column) > 1:
        numbers[f"{name}_data_se"] = column.std().item() / math.sqrt(len(column))
    return numbers


def _with_error(name: str, column: Tensor, error: Tensor) -> dict[str, float]:
    se, mean = error.square().sum().sqrt().item() / len(column), column.mean().item()
    return {f"{name}_se": se, f"{name}_lower": mean - 2 * se, f"{name}_upper": mean + 2 * se}

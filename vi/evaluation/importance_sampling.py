"""log p(x) of a data set by importance sampling."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vi.distributions.widened import require_factor
from vi.errors import NumericsError, require_positive
from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.log_likelihood import log_likelihood
from vi.evaluation.reliability import mean_interval, reliable
from vi.models.base import LatentVariableModel

LEAST_SHARE = 0.95  # of reliable data, for an interval of their mean

# In standard errors, at most: an estimate that looks at its error once K draws are made stops in
# half of all cases if its value is correlated with that error, and is too high or low by
# E|N(0, 1)| / 2 = .4 then. In the other cases the next K draws halve what the first were off by.
_STOPPING = 0.2


class ImportanceSampling(Evaluation):
    """The mean of ``log_likelihood`` over a data set, and how far it can be trusted.

    * ``log_likelihood_se`` is the Monte-Carlo error of the mean over these data,
      sqrt(sum_n se_n^2) / N. It needs K of at least 2.
    * ``log_likelihood_data_se`` is the standard error over data, sd_n / sqrt(N): how much another
      test set of the same size would change the mean. It needs at least two data.

    The mean m lies below mean_n log p(x_n) by the bias of a logarithm, about mean(se_n^2) / 2. If
    at least 95 % of the data are reliable (``log_likelihood_reliable``, see ``reliable``), a 95 %
    interval is stated,

        [``log_likelihood_lower``, ``log_likelihood_upper``]
            = [m - 2 se, m + 2 se + 2 mean(se_n^2)];

    else both are left out, and m is to be read as "log p(x) >= m".

    Args:
        num_samples: K, the number of draws for each datum; the largest with ``target_se``.
        target_se: Draw for a datum only until its own standard error is at most this, in nats; it
            is looked at when K doubles, from 2 000, and biases the mean by at most .2 of it, for
            which the interval has room; the bias of a logarithm is then about target_se^2 / 2 at
            most. None draws K times for every datum.
        widen: Stretch one half of the draws by this factor about the mean of q; None stretches
            none.

    Raises:
        ConfigurationError: ``num_samples`` is not positive or above ten million, ``target_se`` is
            not positive, or ``widen`` is not above 1.
    """

    units: ClassVar = {"effective_sample_size": "draws", "pareto_k": "shape"}

    def __init__(
        self,
        num_samples: int = 5000,
        target_se: float | None = None,
        widen: float | None = None,
    ) -> None:
        require_samples(num_samples)
        if target_se is not None:
            require_positive("target_se", target_se)
        if widen is not None:
            require_factor(widen)
        self.num_samples, self.target_se, self.widen = num_samples, target_se, widen

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """The value of each datum, its error and what tells whether to trust it."""
        found = log_likelihood(
            model,
            x,
            self.num_samples,
            target_se=self.target_se,
            widen=self.widen,
            **given,
        )
        return {
            "log_likelihood": found.value,
            "standard_error": found.standard_error,
            "effective_sample_size": found.effective_sample_size,
            "pareto_k": found.pareto_k,
            "num_samples": found.num_samples.double(),
        }

    def of_all(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, Float[Tensor, " N"]]:
        """Return ``reliable``, 1 or 0, which pools all data."""
        return {"reliable": reliable(columns["pareto_k"], self._drawn(columns)).double()}

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The mean, its errors, and an interval where it is earned.

        Raises:
            NumericsError: All weights of a datum are 0, so that nothing is known of its log p(x).
        """
        value, k, drawn = columns["log_likelihood"], columns["pareto_k"], self._drawn(columns)
        _require_weights(value)
        numbers = {"log_likelihood": value.mean().item()}
        if self.num_samples > 1:
            share = reliable(k, drawn).double().mean().item()
            stopping = 0.0 if self.target_se is None else _STOPPING
            numbers |= _interval(value, columns["standard_error"], share, stopping)
        if len(value) > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(len(value))
        numbers |= {
            "log_likelihood_samples": round(drawn.mean().item()),
            "effective_sample_size": columns["effective_sample_size"].median().item(),
        }
        return numbers | (
            {} if k.isnan().any() or k.isinf().all() else {"pareto_k": k.median().item()}
        )

    def _drawn(self, columns: Mapping[str, Tensor]) -> Tensor:
        """K of each datum."""
        same = torch.full_like(columns["pareto_k"], self.num_samples)
        return columns.get("num_samples", same)


def _interval(value: Tensor, error: Tensor, share: float, stopping: float) -> dict[str, float]:
    numbers = {
        "log_likelihood_se": error.square().sum().sqrt().item() / len(value),
        "log_likelihood_reliable": share,
    }
    if share < LEAST_SHARE:
        return numbers
    lower, upper = mean_interval(value, error, stopping)
    return numbers | {"log_likelihood_lower": lower, "log_likelihood_upper": upper}


def _require_weights(value: Tensor) -> None:
    none = value == -math.inf
    if none.any():
        raise NumericsError(
            f"no draw of z gives {int(none.sum())} of {len(value)} data a positive p(x, z) "
            f"(first: number {int(none.nonzero()[0, 0])} of those measured)",
            hint="raise the number of samples, or evaluation.widen=2 if q(z|x) is too narrow",
        )

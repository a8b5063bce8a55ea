"""log p(x) of a data set by importance sampling."""

import math
from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.log_likelihood import log_likelihood
from vi.evaluation.reliability import mean_interval, reliable
from vi.models.base import LatentVariableModel

LEAST_SHARE = 0.95  # of reliable data, for an interval of their mean


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
        num_samples: K, the number of draws for each datum.

    Raises:
        ConfigurationError: ``num_samples`` is not positive, or above ten million.
    """

    units: ClassVar = {"effective_sample_size": "draws", "pareto_k": "shape"}

    def __init__(self, num_samples: int = 5000) -> None:
        require_samples(num_samples)
        self.num_samples = num_samples

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """The value of each datum, its error and what tells whether to trust it."""
        found = log_likelihood(model, x, self.num_samples, **given)
        return {
            "log_likelihood": found.value,
            "standard_error": found.standard_error,
            "effective_sample_size": found.effective_sample_size,
            "pareto_k": found.pareto_k,
        }

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The mean, its errors, and an interval where it is earned."""
        value, k = columns["log_likelihood"], columns["pareto_k"]
        numbers = {"log_likelihood": value.mean().item()}
        if self.num_samples > 1:
            numbers |= self._interval(value, columns["standard_error"], k)
        if len(value) > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(len(value))
        numbers |= {
            "log_likelihood_samples": self.num_samples,
            "effective_sample_size": columns["effective_sample_size"].median().item(),
        }
        return numbers | (
            {} if k.isnan().any() or k.isinf().all() else {"pareto_k": k.median().item()}
        )

    def _interval(self, value: Tensor, error: Tensor, k: Tensor) -> dict[str, float]:
        share = reliable(k, self.num_samples).double().mean().item()
        numbers = {
            "log_likelihood_se": error.square().sum().sqrt().item() / len(value),
            "log_likelihood_reliable": share,
        }
        if share < LEAST_SHARE:
            return numbers
        lower, upper = mean_interval(value, error)
        return numbers | {"log_likelihood_lower": lower, "log_likelihood_upper": upper}

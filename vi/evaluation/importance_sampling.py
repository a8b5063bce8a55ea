"""log p(x) of a data set by importance sampling."""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from vi.evaluation.base import Evaluation, require_samples
from vi.evaluation.log_likelihood import log_likelihood
from vi.models.base import LatentVariableModel


class ImportanceSampling(Evaluation):
    """The mean of ``log_likelihood`` over a data set, with two standard errors.

    * ``log_likelihood_se`` is the Monte-Carlo error of the mean over these data,
      sqrt(sum_n se_n^2) / N. It needs K of at least 2.
    * ``log_likelihood_data_se`` is the standard error over data, sd_n / sqrt(N): how much another
      test set of the same size would change the mean. It needs at least two data.

    Args:
        num_samples: K, the number of draws for each datum.

    Raises:
        ConfigurationError: ``num_samples`` is not positive, or above ten million.
    """

    def __init__(self, num_samples: int = 5000) -> None:
        require_samples(num_samples)
        self.num_samples = num_samples

    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Return log p(x) in nats, its standard error, and the effective sample size: (B,)."""
        value, error, ess = log_likelihood(model, x, self.num_samples, **given)
        return {"log_likelihood": value, "standard_error": error, "effective_sample_size": ess}

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Return the mean (nats per datum), its standard errors, K, and the median sample size."""
        value, error = columns["log_likelihood"], columns["standard_error"]
        n, numbers = len(value), {"log_likelihood": value.mean().item()}
        if self.num_samples > 1:
            numbers["log_likelihood_se"] = error.square().sum().sqrt().item() / n
        if n > 1:
            numbers["log_likelihood_data_se"] = value.std().item() / math.sqrt(n)
        return numbers | {
            "log_likelihood_samples": self.num_samples,
            "effective_sample_size": columns["effective_sample_size"].median().item(),
        }

"""Standard errors of means over data: by their formula, and by the spread of what they are of."""

import math

import pytest
import torch

import vi
from tests.support.oracles import LinearGaussian, inflated
from vi.evaluation.impute_split import imputation_numbers

ERRORS = [0.1, 0.2, 0.0, 2.0, 0.05]  # nats, of five data


def _columns() -> dict[str, torch.Tensor]:
    value = torch.tensor([-3.0, -1.0, -7.0, 4.0, -2.0])
    error, ess = torch.tensor(ERRORS), torch.tensor([9.0, 1.0, 5.0, 2.0, 3.0])
    return {
        "log_likelihood": value,
        "standard_error": error,
        "effective_sample_size": ess,
        "pareto_k": torch.full((5,), 0.25),
    }


def test_the_error_of_a_mean_of_unequal_errors():
    """sqrt(sum se_n^2) / N, sd_n / sqrt(N) and the median: at most 1e-12.

    Caught: an error too large by sqrt(N), the mean of the errors, the mean of their squares.
    """
    numbers = vi.ImportanceSampling(10).summarize(_columns())
    value = [-3.0, -1.0, -7.0, 4.0, -2.0]
    mean = sum(value) / 5
    spread = math.sqrt(sum((v - mean) ** 2 for v in value) / 4)
    assert numbers == pytest.approx(
        {
            "log_likelihood": mean,
            "log_likelihood_se": math.sqrt(0.01 + 0.04 + 4.0 + 0.0025) / 5,
            "log_likelihood_data_se": spread / math.sqrt(5),
            "log_likelihood_samples": 10,
            "effective_sample_size": 3.0,
            "log_likelihood_reliable": 0.0,
            "pareto_k": 0.25,
        },
        abs=1e-12,
    )


def test_the_error_of_imputed_entries():
    """The same of what was held out, in nats per datum: at most 1e-12."""
    columns = _columns() | {"independent": torch.zeros(5)}
    observed = torch.tensor([[True, False]]).expand(5, 2)
    numbers = imputation_numbers(columns | {"observed": observed, "truth": torch.zeros(5, 2)})
    error = math.sqrt(sum(e * e for e in ERRORS)) / 5
    assert numbers["held_out_log_likelihood_se"] == pytest.approx(error, abs=1e-12)


def test_the_error_of_a_gap_is_that_of_the_data():
    """sd_n / sqrt(N) of both gaps, beside the Monte-Carlo error. Caught: sd_n / N."""
    names = ("refined_elbo", "approximation_gap", "amortization_gap")
    columns = _columns() | {k: torch.tensor([0.0, 2.0, 4.0, 6.0, 3.0]) for k in names}
    columns |= {f"{k}_error": columns["standard_error"] for k in ("approximation", "amortization")}
    numbers = vi.InferenceGaps(vi.AdamAscent(1)).summarize(columns)
    for name in names:
        assert numbers[name] == pytest.approx(3, abs=1e-12)
        assert numbers[f"{name}_data_se"] == pytest.approx(1, abs=1e-12)
    for name in names[1:]:
        assert numbers[f"{name}_se"] == pytest.approx(numbers["log_likelihood_se"], abs=1e-12)


def test_repeats_spread_as_the_error_says():
    """400 estimates of the mean of one set: their sd is the root mean square of the error told.

    20 data whose errors differ tenfold, K = 100, seed 0. The s.e. of an sd is 1 / sqrt(2 n), so
    that 4 of them are 14 %; fails by chance once in 16 000. Caught: an error too large by sqrt(N).
    """
    model = LinearGaussian.random(4, 2, infer=inflated(1.25))
    x = torch.cat([0.1 * torch.randn(10, 4), 6 * torch.randn(10, 4)]) + model.loc.detach()
    measure = vi.ImportanceSampling(100)
    repeated = x.repeat(400, 1)
    columns = {k: v.reshape(400, 20) for k, v in measure(model, repeated).items()}
    numbers = [measure.summarize({k: v[i] for k, v in columns.items()}) for i in range(400)]
    mean, error = (
        torch.tensor([n[k] for n in numbers]) for k in ("log_likelihood", "log_likelihood_se")
    )
    told = error.square().mean().sqrt()
    assert abs(mean.std() / told - 1) <= 4 / math.sqrt(2 * 400)

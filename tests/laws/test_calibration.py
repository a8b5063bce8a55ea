"""Simulation-based calibration: law N14, and what it sees of a wrong q."""

import pytest
import torch
from torch.distributions import Independent, Normal

import vi
from tests.support.oracles import LinearGaussian, exact_diagonal, inflated
from vi.data.base import LoadedData, Values
from vi.diagnoses.base import Subject
from vi.diagnoses.calibration import Calibration, chi_square


def normal(infer):
    """z ~ N(0, 1), x ~ N(z, 1), with this q(z|x)."""
    one = torch.ones(1, 1)
    return LinearGaussian(one, torch.zeros(1), 1.0, infer, vi.StandardNormal(1)())


def the_prior(model, x):
    return Independent(Normal(torch.zeros(len(x), 1), torch.ones(len(x), 1)), 1)


def shifted(model, x):
    exact = exact_diagonal(model, x)
    return Independent(Normal(exact.mean + 0.3, exact.stddev), 1)


def subject(model):
    rows = Values(torch.zeros(5, *model.data_shape))
    return Subject(model, LoadedData(rows, None, rows, tuple(model.data_shape)))


def p_values(infer):
    found = Calibration().ranks(subject(normal(infer)))
    return dict(zip(found.names, found.p_values.tolist(), strict=True))


def test_the_exact_q_is_accepted():
    """N14: 1 000 simulations, 20 bins, p > 1e-4 (fails once in 5 000 seeds).

    Caught: ranks among the draws and z* itself; draws shared by all data.
    """
    assert min(p_values(exact_diagonal).values()) > 1e-4


def test_half_the_sd_is_rejected():
    """N14: p < 1e-6."""
    assert p_values(inflated(0.5))["z_1"] < 1e-6


def test_the_prior_as_q_is_rejected_by_log_p_alone():
    """N14: p < 1e-6 by log p(x|z), while the ranks of z are uniform.

    Caught: log p(x|z) not among the quantities.
    """
    found = p_values(the_prior)
    assert found["log p(x|z)"] < 1e-6
    assert found["z_1"] > 1e-4


@pytest.mark.parametrize(
    ("infer", "told"),
    [(inflated(0.5), "too narrow"), (inflated(2.0), "too wide"), (shifted, "too high")],
)
def test_the_verdict_names_what_is_wrong(infer, told):
    """Caught: narrow and wide, or high and low exchanged."""
    found = Calibration(num_draws=19)(subject(normal(infer)))
    assert "q(z|x) is not the posterior" in found.said[0]
    z = found.said[0][found.said[0].index("z_1") :]
    assert f"q is {told}" in z.partition(")")[0]


def test_a_calibrated_q_is_called_so():
    found = Calibration(num_draws=19)(subject(normal(exact_diagonal)))
    assert found.said[0].startswith("q(z|x) is calibrated: the smallest p is")
    assert len(found.figures["calibration"].axes) == 2


def test_equal_values_are_ranked_at_random():
    """One-hot z of an exact mixture, p > 1e-4. Caught: ties below the truth, or above."""
    model = vi.BernoulliMixture((6,), 3, restarts=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert Calibration().ranks(subject(model)).p_values.min() > 1e-4


def test_a_mixture_of_encoders_is_drawn_at_random():
    """Caught: stratified draws, more than were asked for."""
    parts = vi.MLP([4]), vi.Bernoulli()
    inference = vi.Ensemble(vi.MLP([4]), vi.DiagonalGaussian(2), num_encoders=3)
    model = vi.VAE(
        (6,), decoder=parts[0], prior=vi.StandardNormal(2), likelihood=parts[1],
        inference=inference,
    )  # fmt: skip
    found = Calibration(100, 19).ranks(subject(model))
    assert found.ranks.max() <= 19


def test_missing_entries_are_missing_in_simulations():
    """Caught: entries that q is told are missing, drawn and seen."""
    seen = []

    class Watched(LinearGaussian):
        def posterior(self, x, **given):
            seen.append((x, given["observed"]))
            return exact_diagonal(self, x)

    model = Watched(torch.ones(3, 1), torch.ones(3), 1.0, None, vi.StandardNormal(1)())
    observed = torch.tensor([[True, False, True]]).expand(5, 3)
    rows = Values(torch.zeros(5, 3)).with_observed(observed)
    Calibration(100, 19)(Subject(model, LoadedData(rows, None, rows, (3,))))
    assert all((x[~mask] == 0).all() and (x[mask] != 0).all() for x, mask in seen)


def test_the_same_seed_gives_the_same_ranks():
    """Whatever the random state; it is left as it was."""
    calibration, found = Calibration(100, 19), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(calibration(subject(normal(exact_diagonal))).numbers)
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


def test_p_values_are_those_of_scipy():
    from scipy.stats import chisquare

    counts = torch.randint(30, 70, (4, 20)).double()
    expected = [chisquare(row.numpy()).pvalue for row in counts]
    assert chi_square(counts).tolist() == pytest.approx(expected, rel=1e-9)


def test_a_likelihood_without_samples_is_refused():
    class Silent(LinearGaussian):
        def likelihood(self, z, **given):
            class Density(torch.distributions.Distribution):
                def __init__(self):
                    super().__init__(z.shape[:-1], torch.Size([1]), validate_args=False)

            return Density()

    model = Silent(torch.ones(1, 1), torch.zeros(1), 1.0, None, vi.StandardNormal(1)())
    with pytest.raises(vi.ConfigurationError, match="Density cannot be sampled"):
        Calibration()(subject(model))


@pytest.mark.parametrize("options", [(1000, 100, 20), (50, 99, 20), (1000, 99, 1), (1000, 0, 20)])
def test_numbers_that_do_not_fit_are_refused(options):
    with pytest.raises(vi.ConfigurationError):
        Calibration(*options)

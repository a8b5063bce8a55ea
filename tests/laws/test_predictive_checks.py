"""Predictive checks: p-values that are right, statistics that are those of numpy."""

import numpy as np
import pytest
import torch

import vi
from tests.support.oracles import LinearGaussian
from vi.config.build import build
from vi.config.registry import options, packaged
from vi.data.base import LoadedData, Values
from vi.diagnoses.base import Subject
from vi.diagnoses.predictive_checks import PredictiveChecks
from vi.diagnostics.predictive_check import PredictiveCheck


def statistic(name):
    return build("statistic", packaged("statistic", name))


def subject(model, x, shape=None, observed=None):
    rows = Values(x) if observed is None else Values(x).with_observed(observed)
    shape = shape or tuple(x.shape[1:])
    facts = {"data/shape": "x".join(map(str, shape))}
    return Subject(model, LoadedData(rows, None, rows, shape, facts=facts))


def checks(model, x, *names, **options):
    chosen = PredictiveChecks([statistic(name) for name in names], 99)
    return chosen.checks(subject(model, x, **options))


def test_p_values_of_the_right_model_are_uniform():
    """All numbers of a statistic at once: 4 000 data sets of 3 numbers among 19 replicates.

    P(p <= k/20) = k/20; at k = 1, 4 and 10 within 4 s.e. Caught: deviations in standard deviations
    of the replicates without the data.
    """
    values = torch.randn(4000, 20, 3) @ torch.randn(3, 3)
    found = torch.tensor(
        [PredictiveCheck("", "", ["a", "b", "c"], v[0], v[1:]).p_value for v in values]
    )
    for level in (0.05, 0.2, 0.5):
        error = (level * (1 - level) / 4000) ** 0.5
        assert ((found <= level + 1e-9).double().mean() - level).abs() < 4 * error


def test_a_model_of_another_mean_and_spread_is_seen():
    """Of 100 data with twice the spread, p is 1/100, by sd and quantiles and not by the mean."""
    model = LinearGaussian.random(data_dim=4, latent_dim=2)
    centre = model.loc.detach()
    x = centre + 2 * (model.sample(100) - centre)
    named = ("standard_deviation", "quantiles", "maximum")
    for check in checks(model, x, *named):
        if check.of == "p(x)":
            assert check.p_value == pytest.approx(0.01)
    good = checks(model, model.sample(100), *named, "mean", "correlation")
    assert min(check.p_value for check in good) > 0.01


def test_posterior_replicates_follow_their_datum():
    """With little noise x' is x, while p(x) has another mean. Caught: z from the prior twice."""
    model = LinearGaussian(torch.eye(3)[:, :2].clone(), torch.zeros(3), 0.01)
    x = model.likelihood(3 + torch.rand(50, 2)).sample()
    prior, again = checks(model, x, "mean")
    assert (prior.of, again.of) == ("p(x)", "p(x|x_n)")
    assert prior.p_value == pytest.approx(0.01)
    assert (again.replicates[:, :2] - x.mean(0)[:2]).abs().max() < 0.05
    assert (prior.replicates[:, :2] - x.mean(0)[:2]).abs().min() > 1


def counts():
    return torch.poisson(torch.rand(200, 3) * 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", lambda x: x.mean(0)),
        ("standard_deviation", lambda x: x.std(0)),
        ("intensity_spread", lambda x: [x.mean(1).std()]),
        ("correlation", lambda x: np.corrcoef(x.T)[np.triu_indices(3, 1)]),
        ("quantiles", lambda x: np.quantile(x, [0.05, 0.5, 0.95], axis=0).ravel()),
        ("maximum", lambda x: x.max(0)),
        ("zeros", lambda x: (x == 0).mean(0)),
        ("fano_factor", lambda x: x.var(0) / x.mean(0)),
    ],
)
def test_a_statistic_is_that_of_numpy(name, expected):
    """To 1e-9; and there is a name for each of its numbers. Caught: the other axis; N - 1."""
    x, made = counts().double(), statistic(name)
    assert made.applies(x)
    np.testing.assert_allclose(made(x).numpy(), expected(x.numpy()), rtol=1e-9)
    assert len(made.parts(["a", "b", "c"])) == len(made(x))


def test_every_statistic_is_tried():
    assert len(options("statistic")) == 8


def test_missing_entries_leave_every_statistic():
    """NaN changes nothing but the rows that are counted."""
    x = counts().double()
    more = torch.cat([x, torch.full((50, 3), torch.nan, dtype=torch.float64)])
    for name in ("mean", "standard_deviation", "quantiles", "maximum", "zeros", "fano_factor"):
        assert torch.allclose(statistic(name)(more), statistic(name)(x))


def test_images_have_one_number_each():
    """Also where an exact model reads them flat; correlations are those of pixels side by side."""
    x = torch.rand(30, 1, 4, 5).double()
    a, b = x[..., :-1].flatten().numpy(), x[..., 1:].flatten().numpy()
    assert statistic("correlation")(x).item() == pytest.approx(np.corrcoef(a, b)[0, 1])
    model = vi.PPCA((20,), latent_dim=2)
    found = checks(model, x.flatten(1), "mean", "correlation", "maximum", shape=(1, 4, 5))
    assert [len(check.parts) for check in found] == [1, 1, 1, 1]  # the maximum is left out
    assert found[0].data.item() == pytest.approx(x.mean().item())


def test_missing_entries_are_missing_in_replicates():
    """Caught: replicates that are complete, whose zeros and means differ from the data's."""
    model = LinearGaussian(torch.zeros(2, 1), torch.tensor([5.0, 5.0]), 0.1)
    model.posterior = lambda x, **given: model.exact_posterior(x)
    x = torch.full((40, 2), 5.0)
    observed = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) < 0.5
    for check in checks(model, x, "mean", observed=observed):
        assert (check.replicates - 5).abs().max() < 0.2
        assert (check.data - 5).abs().max() < 0.2


def test_bits_are_not_counted_twice():
    """The mean of bits determines their spread and their zeros."""
    bits = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    applied = {name for name in options("statistic") if statistic(name).applies(bits)}
    assert applied == {"mean", "intensity_spread", "correlation"}


def test_the_verdict_tells_the_values():
    model = LinearGaussian.random(data_dim=3, latent_dim=1)
    found = PredictiveChecks([statistic("mean")], 99)(subject(model, 50 + model.sample(60)))
    assert found.said[0].startswith("data from p(x) differ in mean of $x_{")
    assert "p = 0.01" in found.said[0]
    assert [number.name for number in found.numbers] == [
        "p_value_p(x)_mean",
        "p_value_p(x|x_n)_mean",
    ]


def test_too_few_of_anything_is_refused():
    with pytest.raises(vi.ConfigurationError, match="no statistic"):
        PredictiveChecks([])
    with pytest.raises(vi.ConfigurationError, match="num_replicates must be"):
        PredictiveChecks([statistic("mean")], 98)
    with pytest.raises(vi.DataError, match="one datum"):
        checks(LinearGaussian.random(), torch.zeros(1, 8), "mean")
    with pytest.raises(vi.ConfigurationError, match="no statistic applies"):
        checks(LinearGaussian.random(), torch.randn(5, 8), "fano_factor")

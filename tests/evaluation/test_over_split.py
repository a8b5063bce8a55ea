"""The numbers of a data set: exact where they can be, and the same however it was cut."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

import vi
from tests.support.oracles import LinearGaussian, inflated
from vi.data.base import DynamicBits, Values
from vi.errors import ConfigurationError
from vi.evaluation.over_split import evaluate

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def few_draws(monkeypatch):
    """The laws hold for any number of draws; fewer are faster."""
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 100)


def numbers(n=23, bound=None, **options):
    torch.manual_seed(0)
    model = LinearGaussian.random(5, 2)
    x = model.sample(n)
    found = evaluate(
        model, Values(x), bound or vi.LogWeightELBO(), vi.ImportanceSampling(50), **options
    )
    return found, model.log_evidence(x).mean().item()


def test_with_the_exact_posterior_every_number_is_the_evidence(few_draws):
    found, evidence = numbers()
    assert found["elbo"] == found["bound"] == pytest.approx(evidence, rel=1e-12)
    assert found["log_likelihood"] == pytest.approx(evidence, rel=1e-12)
    assert found["log_likelihood_se"] == pytest.approx(0, abs=1e-8)
    assert found["effective_sample_size"] == pytest.approx(50)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_no_number(batch_size, few_draws):
    """Caught: repeats that were counted by the batch."""
    torch.manual_seed(3)
    head = vi.FixedScaleGaussian(0.5)
    model = vi.VAE(
        (5,), vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(2), vi.StandardNormal(2), head
    )
    split, parts = Values(torch.randn(23, 5)), (vi.IWAE(3), vi.ImportanceSampling(20))
    whole = evaluate(model, split, *parts, batch_size=23)
    cut = evaluate(model, split, *parts, batch_size=batch_size)
    assert cut == pytest.approx(whole, rel=1e-12)
    assert whole["repeats"] == 5  # 23 * 5 > 100


def test_the_mean_of_a_small_set_has_the_error_of_ten_thousand_draws(all_draws, monkeypatch):
    """The ELBO of 23 data against its exact value: 4 standard errors, 6e-5 to fail by chance.

    Caught: one draw for each datum (an error of 0.2 nats on 40 data).
    """
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", all_draws)
    torch.manual_seed(1)
    model = LinearGaussian.random(5, 2, infer=inflated(2.0))
    x = model.sample(23)
    q, p = model.posterior(x), model.exact_posterior(x)
    exact = (model.log_evidence(x) - kl_divergence(q, p)).mean().item()
    log_w = model.log_joint(x, z := q.rsample((1000,))) - q.log_prob(z)
    error = log_w.std(0).square().mean().sqrt().item() / 100
    found = evaluate(model, Values(x), vi.LogWeightELBO(), vi.ImportanceSampling(2))
    assert abs(found["elbo"] - exact) < 4 * error
    assert error < 0.05


def test_model_and_bound_go_back_to_their_mode(few_draws):
    torch.manual_seed(0)
    model, bound = LinearGaussian.random(5, 2).train(), vi.Beta(vi.LogWeightELBO(), 2.0).eval()
    evaluate(model, Values(torch.randn(4, 5)), bound, vi.ImportanceSampling(2), limit=3)
    assert model.training
    assert not bound.training


def test_a_limit_takes_some_of_every_class_of_sorted_data(few_draws):
    """A file may be sorted. Caught: the first so many, all of the first class."""
    torch.manual_seed(0)
    model = LinearGaussian.random(5, 2)
    x = torch.randn(40, 5) + 10.0 * torch.arange(40)[:, None].div(10, rounding_mode="floor")
    bound = vi.LogWeightELBO()
    some = evaluate(model, Values(x), bound, limit=4)["log_evidence"]
    every_class = model.log_evidence(x[[0, 10, 20, 30]]).mean().item()
    assert some == pytest.approx(every_class, rel=1e-12)
    whole = evaluate(model, Values(x), bound, limit=100)["log_evidence"]
    assert whole == pytest.approx(model.log_evidence(x).mean().item(), rel=1e-12)


def test_bits_of_the_training_data_are_drawn_once(few_draws):
    """A function of (seed, datum). Caught: evaluate(split="train") that moved with the batch."""
    head = vi.Bernoulli()
    torch.manual_seed(0)
    model = vi.VAE(
        (5,), vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(2), vi.StandardNormal(2), head
    )
    split = DynamicBits(torch.randint(0, 256, (23, 5), dtype=torch.uint8))
    parts = (model, split, vi.ELBO(), vi.ImportanceSampling(5))
    first = evaluate(*parts)
    assert evaluate(*parts, batch_size=7) == pytest.approx(first, rel=1e-12)
    assert evaluate(*parts, seed=1) != pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"limit": 0}, {"limit": -3}])
def test_sizes_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError, match="must be greater than 0"):
        numbers(**options)


def test_an_error_that_nothing_tells_is_left_out(few_draws):
    """One sample has no Monte-Carlo error, one datum no error of the data.

    Caught: 0 for the first, NaN for the second, which ended a run with exit code 5.
    """
    torch.manual_seed(0)
    model = LinearGaussian.random(5, 2)
    for n, k, known in ((1, 50, {"log_likelihood_se"}), (2, 1, {"log_likelihood_data_se"})):
        evaluation = vi.ImportanceSampling(k)
        found = evaluate(model, Values(model.sample(n)), vi.LogWeightELBO(), evaluation)
        assert {name for name in found if name.endswith("_se")} == known
        assert all(map(math.isfinite, found.values()))


@pytest.mark.parametrize("exact", [False, True])
def test_the_evidence_of_a_model_is_measured_where_it_is_known(few_draws, exact):
    """Also of a model of one's own. Caught: one without a closed form that is asked for it."""

    class Known(vi.VAE):
        def log_evidence(self, x, **given):
            return x.sum(-1)

    torch.manual_seed(0)
    parts = (vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(2), vi.StandardNormal(2))
    model = (Known if exact else vi.VAE)((5,), *parts, vi.FixedScaleGaussian(0.5))
    x = torch.randn(7, 5)
    found = evaluate(model, Values(x), vi.ELBO())
    known = {"log_evidence": pytest.approx(x.sum(-1).mean().item())} if exact else {}
    assert {k: v for k, v in found.items() if k == "log_evidence"} == known

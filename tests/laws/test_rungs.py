"""Which rungs a model allows is known before anything is measured, and is said."""

from itertools import product

import pytest
import torch
from torch import Tensor

import vi
from tests.laws.test_escalating import Model, Near, escalating
from tests.support.oracles import LinearGaussian, inflated
from vi.data.base import Values
from vi.evaluation.over_split import evaluate, measure
from vi.evaluation.reliability import stated, why_not
from vi.progress import watching


def found(model, x: Tensor, evaluation: vi.Escalating, **options):
    return evaluate(model, Values(x), vi.ELBO(), evaluation, repeats=1, **options)


@pytest.mark.parametrize("num_samples", [1, 1999])
def test_too_few_draws_are_refused_at_once(num_samples):
    """With how many do. Caught: every datum was annealed, for minutes."""
    with pytest.raises(vi.ConfigurationError, match="too little of the tail") as caught:
        escalating(num_samples=num_samples)
    assert "evaluation_samples=2000 or more" in caught.value.hint


@pytest.mark.parametrize("options", [{"budget": 0}, {"budget_seconds": 0.0}, {"budget": -1.0}])
def test_no_budget_at_all_is_refused(options):
    with pytest.raises(vi.ConfigurationError, match="must be greater than 0"):
        escalating(**options)


def test_an_exact_model_is_answered_exactly():
    """Without a draw. Caught: importance sampling of a model with a closed form."""
    torch.manual_seed(0)
    model = vi.PPCA((6,), latent_dim=2)
    x, evaluation = model.sample(30), escalating()
    numbers = found(model, x, evaluation)
    assert numbers["log_likelihood"] == pytest.approx(model.log_evidence(x).mean().item(), 1e-12)
    assert numbers["rung_exact"] == 1
    assert stated(numbers).endswith("(exact)")
    assert evaluation.said(model, numbers) == ["the model has log p(x) in closed form"]


def with_bits(num_bits: int) -> tuple[vi.VAE, Tensor, Tensor]:
    """(model, x, log p(x) by a sum over all states), with bits that matter for x."""
    torch.manual_seed(0)
    parts = vi.BernoulliPosterior(num_bits), vi.BernoulliPrior(num_bits), vi.Bernoulli()
    model = vi.VAE((7,), vi.MLP([4]), vi.MLP([16]), *parts).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.normal_(0, 0.5)
        x = model.sample(24)
        states = torch.tensor(list(product([0.0, 1.0], repeat=num_bits)))
        log_joint = model.log_joint(x, states[:, None].expand(-1, len(x), -1))
    return model, x, log_joint.logsumexp(0)


@pytest.mark.parametrize("num_bits", [3, 12])
def test_few_states_are_summed_over(num_bits):
    """4 096 states or fewer: the brute-force sum to 1e-12. Caught: only 1 024 of them."""
    model, x, exact = with_bits(num_bits)
    evaluation = escalating()
    columns = evaluation(model, x)
    assert (columns["log_likelihood"] - exact).abs().max() <= 1e-12
    numbers = found(model, x, evaluation)
    assert numbers["rung_enumerated"] == 1
    assert stated(numbers).endswith("(exact)")
    assert evaluation.said(model, numbers) == ["log p(x) is the sum over all states of z"]


def test_one_variable_with_many_categories_is_summed_over_too():
    torch.manual_seed(0)
    parts = vi.CategoricalPosterior(30), vi.CategoricalPrior(30), vi.Bernoulli()
    model = vi.VAE((7,), vi.MLP([4]), vi.MLP([16]), *parts).eval()
    x = model.sample(5)
    log_joint = model.log_joint(x, torch.eye(30)[:, None].expand(-1, 5, -1))
    assert torch.allclose(escalating()(model, x)["log_likelihood"], log_joint.logsumexp(0))


def test_more_states_are_annealed_from_the_unrefined_q():
    """8 192 states: within 4 standard errors and .01. Caught: a refinement without a gradient."""
    model, x, exact = with_bits(13)
    numbers = found(model, x, escalating(num_samples=2000))
    assert numbers["rung_encoder"] + numbers.get("rung_annealed", 0) == 1
    error = numbers["log_likelihood"] - exact.mean().item()
    assert abs(error) <= 4 * numbers["log_likelihood_se"] + 0.01


def test_what_cannot_be_annealed_stays_below():
    """z on a sphere: a lower bound, with the reason. Caught: a refusal after the first rungs."""
    torch.manual_seed(0)
    parts = vi.VonMisesFisher(3), vi.UniformSphere(3), vi.SharedScaleGaussian(scale=0.05)
    model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    x, evaluation = model.sample(20), escalating(num_samples=2000)
    numbers = found(model, x, evaluation)
    assert numbers["log_likelihood_reliable"] < 0.95
    assert stated(numbers).startswith("≥")
    assert "q misses a part of the posterior" in (why_not(numbers) or "")
    (said,) = evaluation.said(model, numbers)
    assert said.startswith("importance sampling from a refined q was the last rung")
    assert "VonMises" in said or "UniformSphere" in said


class Unrefinable(LinearGaussian):
    """Its q is written, without variational parameters."""

    def log_evidence(self, x: Tensor) -> None:
        return None


def test_a_q_without_variational_parameters_is_not_refined():
    """And annealed at once. Caught: a second pass with the same q."""
    torch.manual_seed(0)
    model = Unrefinable.random(8, 3, inflated(0.5))
    x = model.sample(20)
    numbers = found(model, x, escalating(num_samples=2000))
    assert "rung_refined" not in numbers
    assert numbers["rung_annealed"] > 0.9
    exact = LinearGaussian.log_evidence(model, x).mean().item()
    assert abs(numbers["log_likelihood"] - exact) <= 4 * numbers["log_likelihood_se"] + 0.05


def ridge(n: int) -> tuple[Model, Tensor]:
    torch.manual_seed(0)
    model = Model.random(10, 3)
    model.infer_with(Near(0.4, 0))
    return model, model.sample(n)


A_DATUM = 2000 + 2 * 100 * 10 + escalating().annealing.cost


def test_the_same_data_climb_for_every_batch_size():
    """A quarter of 60. Caught: a subset of each batch."""
    model, x = ridge(60)
    chosen, values = [], []
    for batch_size in (60, 25):
        evaluation = escalating(num_samples=2000, budget=20 * A_DATUM)
        got = measure(model, Values(x), vi.ELBO(), evaluation, repeats=1, batch_size=batch_size)
        chosen.append((got.columns["rung"] > 2).nonzero()[:, 0].tolist())
        values.append(got.numbers["log_likelihood"])
    assert chosen[0] == chosen[1]
    assert 20 <= len(chosen[0]) < 60
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_the_mean_of_a_part_is_covered():
    """Within 4 stated standard errors of the truth, and none is as small as that of all."""
    model, x = ridge(80)
    exact = model.exact(x).mean().item()
    evaluation = escalating(num_samples=2000, budget=20 * A_DATUM)
    part, whole = found(model, x, evaluation), found(model, x, escalating(num_samples=2000))
    assert abs(part["log_likelihood"] - exact) <= 4 * part["log_likelihood_se"]
    assert part["log_likelihood_se"] > 2 * whole["log_likelihood_se"]
    assert part["log_likelihood_lower"] < exact < part["log_likelihood_upper"]
    (said,) = evaluation.said(model, part)
    assert said.startswith("q does not fit 100 % of the data; a random part of these")


def test_what_is_left_of_a_budget_is_used():
    """No datum needs annealing, which was reserved. Caught: 20 data where 80 are paid for."""
    model, x = ridge(200)
    evaluation = escalating(num_samples=2000, budget=20 * A_DATUM)
    numbers = found(model, x, evaluation)
    climbed = numbers["rung_refined"] + numbers.get("rung_annealed", 0.0)
    assert climbed * 200 * 3000 >= 0.7 * 20 * A_DATUM


def test_seconds_are_rows_at_a_measured_rate():
    """Those of the pilot or more; and they are told, as an option that can be typed."""
    model, x = ridge(400)
    evaluation = escalating(num_samples=2000, budget_seconds=0.5)
    numbers = found(model, x, evaluation)
    climbed = numbers["rung_refined"] + numbers.get("rung_annealed", 0.0)
    assert climbed == pytest.approx(1 - numbers["rung_encoder"])
    assert numbers["escalated_rows"] >= 20 * 3000
    assert numbers["escalated_seconds"] > 0
    said = evaluation.said(model, numbers)[-1]
    assert f"evaluation.budget={numbers['escalated_rows']:.0f}" in said


def test_progress_is_that_of_all_passes():
    """It rises on each of them. Caught: an end after the first pass."""
    model, x = ridge(40)
    told: list[float] = []
    with watching(told.append):
        found(model, x, escalating(num_samples=2000), batch_size=20)
    assert told == sorted(told)
    first = escalating(num_samples=2000).share(model, 40)
    assert 0 < first < 0.5
    assert sum(first < at < 1 for at in told) >= 2

"""Annealing, importance sampling and their bounds from both sides agree with exact log p(x)."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

import vi
from tests.laws.test_rungs import with_bits
from vi.distributions.datum_noise import datum_noise
from vi.evaluation.annealing.bidirectional_monte_carlo import simulated
from vi.evaluation.escalation.enumeration import enumerated
from vi.inference.base import Inference

N = 60


class Wide(Inference):
    """The exact posterior, half as wide again."""

    def forward(self, model, x: Tensor, **given: Tensor) -> Distribution:
        exact = model.exact_posterior(x)
        return MultivariateNormal(exact.mean, 2.25 * exact.covariance_matrix)


@pytest.fixture
def ppca() -> tuple[vi.PPCA, Tensor]:
    """(model with a q that is wider than the posterior, data)."""
    torch.manual_seed(0)
    model = vi.PPCA((6,), latent_dim=2)
    model.initialize(torch.randn(50, 6, dtype=torch.float64) @ torch.randn(6, 6))
    model.infer_with(Wide())
    return model.eval().requires_grad_(requires_grad=False), model.sample(N)


def bidirectional(num_temperatures: int, **options) -> vi.BidirectionalMonteCarlo:
    return vi.BidirectionalMonteCarlo(vi.Sigmoidal(), 16, num_temperatures, 5, **options)


@pytest.mark.parametrize("from_prior", [False, True])
def test_annealing_agrees_with_ppca(ppca, from_prior):
    """The mean over 60 data within 4 standard errors, and the room for the bias of a logarithm."""
    model, x = ppca
    annealing = vi.AnnealedImportanceSampling(vi.Sigmoidal(), 16, 100, 5, from_prior=from_prior)
    torch.manual_seed(0)
    columns = annealing(model, x)
    error = (columns["log_likelihood"] - model.log_evidence(x)).mean()
    squares = columns["standard_error"].square()
    assert -4 * squares.sum().sqrt() / N - squares.mean() <= error
    assert error <= 4 * squares.sum().sqrt() / N


def test_importance_sampling_agrees_with_ppca(ppca):
    """The mean over 60 data within 4 standard errors."""
    model, x = ppca
    torch.manual_seed(0)
    found = vi.log_likelihood(model, x, 5000)
    error = (found.value - model.log_evidence(x)).mean()
    assert abs(error) <= 4 * found.standard_error.square().sum().sqrt() / N


def sandwich(model: vi.VAE | vi.PPCA, x: Tensor, evaluation, exact) -> tuple[Tensor, Tensor]:
    """(log p(x') - lower bound, upper bound - log p(x')) of the data that it simulates."""
    with datum_noise(0, range(len(x))):
        columns = evaluation(model, x)
    with datum_noise(0, range(len(x))):
        made = simulated(model, x, {})[1]
    assert (made != x).any()
    truth = exact(made)
    return truth - columns["lower_bound"], columns["upper_bound"] - truth


@pytest.mark.parametrize("num_temperatures", [3, 50])
@pytest.mark.parametrize("from_prior", [False, True])
def test_ppca_lies_between_the_bounds(ppca, num_temperatures, from_prior):
    """On average: each side is above 0 up to 4 standard errors; 50 temperatures leave .2 nats.

    Caught: reverse chains from a z that is no draw of the posterior.
    """
    model, x = ppca
    evaluation = bidirectional(num_temperatures, from_prior=from_prior)
    for side in sandwich(model, x, evaluation, model.log_evidence):
        assert side.mean() >= -4 * side.std() / N**0.5
        assert num_temperatures == 3 or side.mean() <= 0.2


def test_a_model_with_few_states_lies_between_the_bounds():
    """5 bits, against the sum over all states."""
    model, x, _ = with_bits(5)
    for side in sandwich(model, x, bidirectional(50), lambda made: enumerated(model, made)):
        assert side.mean() >= -4 * side.std() / len(x) ** 0.5
        assert side.mean() <= 0.2


def test_annealing_agrees_with_a_model_with_few_states():
    """6 bits: the mean over 24 data within 4 standard errors, and the bias of a logarithm."""
    model, x, exact = with_bits(6)
    torch.manual_seed(0)
    columns = vi.AnnealedImportanceSampling(vi.Sigmoidal(), 32, 100, 3)(model, x)
    error = (columns["log_likelihood"] - exact).mean()
    squares = columns["standard_error"].square()
    reach = 4 * squares.sum().sqrt() / len(x)
    assert -reach - squares.mean() <= error <= reach


def test_the_numbers_are_those_of_simulated_data_and_say_so(ppca):
    """The gap is the difference of the bounds, whatever the data of the split are."""
    model, x = ppca
    evaluation = bidirectional(5)
    found = []
    for data in (x, x + 100):
        with datum_noise(0, range(N)):
            found.append(evaluation.summarize(evaluation(model, data)))
    ours = {name: value for name, value in found[0].items() if name != "seconds_per_datum"}
    assert ours == {name: found[1][name] for name in ours}
    gap = ours["simulated_upper_bound"] - ours["simulated_lower_bound"]
    assert ours["bidirectional_gap"] == pytest.approx(gap)
    assert ours["bidirectional_gap_se"] > 0
    assert any("data of the model" in said for said in evaluation.said(model, ours))


def test_a_datum_does_not_depend_on_its_company(small_vae):
    """Also with a refined q. Caught: data simulated for the whole batch at once."""
    torch.manual_seed(0)
    model, x = small_vae(), torch.rand(20, 6)
    evaluation = bidirectional(5, refinement=vi.AdamAscent(3))
    with datum_noise(0, range(20)):
        whole = evaluation(model, x)
    with datum_noise(0, [18, 19]):
        two = evaluation(model, x[18:])
    for name in ("lower_bound", "upper_bound"):
        assert (whole[name][18:] - two[name]).abs().max() <= 1e-9


def with_prior(prior: vi.Prior) -> vi.VAE:
    parts = vi.DiagonalGaussian(2), prior, vi.SharedScaleGaussian(scale=0.7)
    return vi.VAE((6,), vi.MLP([5]), vi.MLP([5]), *parts)


MODELS = {
    "mixture": lambda: with_prior(vi.GaussianMixturePrior(2, 3)),
    "vamp": lambda: with_prior(vi.VampPrior((6,), 2, num_pseudo_inputs=4)),
    "flow": lambda: with_prior(vi.FlowPrior(2, vi.CouplingFlow())),
    "layers": lambda: vi.Ladder((6,), vi.MLP([4]), vi.MLP([4]), vi.Bernoulli(), [2, 1], width=4),
}


@pytest.mark.parametrize("from_prior", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_every_prior_of_real_z_is_annealed(kind, from_prior):
    """Finite bounds for what the model simulates, whatever the company of a datum.

    Caught: a prior that expands to no batch; noise of one datum for all.
    """
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    x = model.sample(4)
    with datum_noise(0, range(4)):
        columns = bidirectional(3, from_prior=from_prior)(model, x)
    assert columns["gap"].isfinite().all()
    with datum_noise(0, [2, 3]):
        two = bidirectional(3, from_prior=from_prior)(model, x[2:])
    assert (columns["gap"][2:] - two["gap"]).abs().max() <= 1e-9

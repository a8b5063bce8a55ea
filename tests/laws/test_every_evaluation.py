"""Laws of every evaluation that a yaml describes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

import vi
from tests.support.oracles import LinearGaussian
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.data.base import Values
from vi.distributions.datum_noise import datum_noise
from vi.errors import ConfigurationError
from vi.evaluation.base import Evaluation
from vi.evaluation.over_split import measure
from vi.evaluation.reliability import LEAST_SAMPLES
from vi.inference.base import Parametric
from vi.models.base import LatentVariableModel

N = 23
SMALL = {
    "num_samples": 6,
    "num_temperatures": 4,
    "num_leapfrog_steps": 2,
    "num_steps": 2,
    "num_draws": 2,
}


@pytest.fixture(params=list(options("evaluation")))
def make_evaluation(request):
    """Make the evaluation of a yaml with few draws, and with these values where it has them.

    One that refuses so few has 2 000.
    """

    def make(**values: Any) -> Evaluation:
        node = _with(part("evaluation", request.param), values)
        try:
            return build("evaluation", node)
        except ConfigurationError:
            return build("evaluation", node | {"num_samples": LEAST_SAMPLES})

    return make


def _with(node: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    node = {k: _with(v, values) if isinstance(v, dict) else v for k, v in node.items()}
    return node | {k: v for k, v in (SMALL | values).items() if k in node}


class Exactly(Parametric):
    """The exact posterior of a linear Gaussian, by its parameters."""

    def parameters_of(self, model, x: Tensor, **given: Tensor) -> Tensor:
        exact = model.exact_posterior(x)
        tril = exact.scale_tril.expand(len(x), -1, -1)
        return torch.cat([exact.loc[:, None], tril], 1)

    def at(self, model, parameters: Tensor) -> Distribution:
        return MultivariateNormal(parameters[:, 0], scale_tril=parameters[:, 1:].tril())


class Model(LinearGaussian):
    """With q as a part."""

    posterior = LatentVariableModel.posterior


def test_the_exact_posterior_gives_the_evidence(make_evaluation):
    """Where q(z|x) = p(z|x) every estimate of log p(x) is exact: at most 1e-10.

    Also after refinement, here by steps of size 0, and after annealing, whose densities are all
    the same. Caught: chains that are weighted after they have moved; a forgotten log K.
    """
    model = Model.random(6, 3)
    model.infer_with(Exactly())
    x, evaluation = model.sample(20), make_evaluation(lr=1e-300)
    columns = evaluation(model, x)
    for name in {"log_likelihood"} & columns.keys():
        assert (columns[name] - model.log_evidence(x)).abs().max() <= 1e-10


def binary(dims: int, **parts) -> vi.VAE:
    """A VAE of so many binary variables, which depend on each other; q is about the prior."""
    networks = vi.MLP([5], torch.nn.Tanh()), vi.MLP([5], torch.nn.Tanh())
    model = vi.VAE(
        (dims,), *networks, vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli(), **parts
    )
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.1)
        for p in model.generative_parameters():
            p.normal_(0, 0.5)
    return model


def states(dims: int) -> Tensor:
    """All states of binary variables, (2^D, D)."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * dims)


def test_the_probabilities_of_all_states_sum_to_one(make_evaluation):
    """Each evaluation, 5 binary variables: the mean of 30 sums within 5 of its errors, seed 0.

    An estimate of p(x) is unbiased, whatever q is. Caught: a step size that is adapted while a
    chain is weighted; weights of refined draws under the encoder's q.
    """
    model, x, evaluation = binary(5), states(5).repeat(30, 1), make_evaluation(num_samples=4)
    columns = evaluation(model.eval(), x)
    for name in {"log_likelihood"} & columns.keys():
        sums = columns[name].exp().reshape(30, -1).sum(1)
        assert (sums.mean() - 1).abs() <= 5 * sums.std() / 30**0.5
        assert sums.std() < 0.5


@pytest.mark.parametrize("widen", [None, 1.5])
def test_the_probabilities_of_nltcs_states_sum_to_one(monkeypatch, widen):
    """16 binary variables: the estimates of all 65 536 states sum to 1 within 4 s.e.

    Fails by chance once in 16 000. Caught: a decoder that sees x; a forgotten log p(z).
    """
    monkeypatch.setattr("vi.evaluation.log_likelihood.DATA_AT_ONCE", 4096)  # for speed
    found = vi.log_likelihood(binary(16).eval(), states(16), 16, widen=widen)
    p, error = found.value.exp(), found.standard_error
    assert (p.sum() - 1).abs() <= 4 * (p * error).square().sum().sqrt()
    assert (p * error).square().sum().sqrt() < 0.01


def _measured(evaluation: Evaluation, model, x: Tensor, batch_size: int) -> dict[str, float]:
    parts = model, Values(x), vi.LogWeightELBO(), evaluation
    numbers = measure(*parts, batch_size=batch_size, repeats=2).numbers
    return {name: value for name, value in numbers.items() if not name.startswith("seconds")}


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_no_number_of_a_data_set_depends_on_the_batches(make_evaluation, small_vae, batch_size):
    """Of 23 data: 1e-9 of the greatest number, to which chains amplify roundings of 1e-16.

    Caught: step sizes, or a rule of reliability, found for each batch.
    """
    model, x, evaluation = small_vae(), torch.randn(N, 6), make_evaluation()
    whole, cut = (_measured(evaluation, model, x, size) for size in (N, batch_size))
    assert cut == pytest.approx(whole, rel=1e-9, abs=1e-9)


def test_no_datum_knows_its_company(make_evaluation, small_vae):
    """Every column of a datum alone is that in a batch: at most 1e-9.

    Caught: a refinement that steps by the loss of the batch.
    """
    model, x, evaluation = small_vae(), torch.randn(20, 6), make_evaluation()
    with datum_noise(0, range(20)):
        whole = evaluation(model, x)
    for b in (0, 7, 19):
        with datum_noise(0, [b]):
            alone = evaluation(model, x[b : b + 1])
        for name in {name for name in whole if not name.endswith("seconds")}:
            column = whole[name]
            assert alone[name].item() == pytest.approx(column[b].item(), abs=1e-9, nan_ok=True)

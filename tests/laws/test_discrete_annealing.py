"""Annealing of discrete z agrees with the sum over all states, from below and from above."""

from itertools import product

import pytest
import torch
from torch import Tensor

import vi
from vi.distributions.datum_noise import datum_noise
from vi.distributions.discrete import bits, categories
from vi.evaluation.annealing.chains import Annealing
from vi.evaluation.annealing.choice import transition
from vi.evaluation.annealing.transition import Path

N, CHAINS = 40, 32


def latents(kind: str) -> tuple[vi.ConditionalDistribution, vi.Prior, Tensor]:
    """(posterior, prior, all states of z, one after the other)."""
    if kind == "bits":
        states = torch.tensor(list(product([0.0, 1.0], repeat=5)))
        return vi.BernoulliPosterior(5), vi.BernoulliPrior(5), states
    numbers = {"one": 1, "several": 3}[kind]
    states = torch.eye(4)[torch.tensor(list(product(range(4), repeat=numbers)))]
    states = states if numbers > 1 else states[:, 0]
    return vi.CategoricalPosterior(4, numbers), vi.CategoricalPrior(4, numbers), states


@pytest.fixture(params=["bits", "one", "several"])
def enumerable(request) -> tuple[vi.VAE, Tensor, Tensor, Tensor]:
    """(model, x, log p(x), states), with z that matters for x."""
    torch.manual_seed(0)
    posterior, prior, states = latents(request.param)
    model = vi.VAE((6,), vi.MLP([4]), vi.MLP([16]), posterior, prior, vi.Bernoulli()).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.normal_(0, 0.3)
    x = model.sample(N)
    exact = torch.stack([model.log_joint(x, z.expand(1, N, *z.shape))[0] for z in states])
    return model.requires_grad_(requires_grad=False), x, exact.logsumexp(0), states


def annealing(model: vi.VAE, x: Tensor, num_temperatures: int) -> Annealing:
    return Annealing(model, x, model.posterior(x), {}, vi.Sigmoidal()(num_temperatures), 3)


def posterior_draws(model: vi.VAE, x: Tensor, states: Tensor) -> Tensor:
    """CHAINS exact draws of p(z|x), (C, N, *Z), by enumeration."""
    log_joint = torch.stack([model.log_joint(x, z.expand(1, N, *z.shape))[0] for z in states], -1)
    return states[torch.distributions.Categorical(logits=log_joint).sample((CHAINS,))]


@pytest.mark.parametrize("num_temperatures", [1, 20])
def test_weights_are_unbiased(enumerable, num_temperatures):
    """Mean w / p(x) is 1 within 4 standard errors, and so is the mean of p(x) / w in reverse.

    1 280 chains, seed 0 (each of 12 means fails by chance once in 16 000). Caught: a ratio
    of another sign, a transition at the temperature before it.
    """
    model, x, exact, states = enumerable
    path = annealing(model, x, num_temperatures)
    for ratio in (
        (path.forward(CHAINS).log_w - exact).exp(),
        (exact - path.reverse(posterior_draws(model, x, states)).log_w).exp(),
    ):
        error = ratio.std() / ratio.numel() ** 0.5
        assert (ratio.mean() - 1).abs() <= 4 * error


def test_more_temperatures_come_closer(enumerable):
    """The mean error of log p(x) with 100 temperatures is at most a half of that with 2."""
    model, x, exact, _ = enumerable
    errors = [
        (annealing(model, x, t).forward(CHAINS).log_w.exp().mean(0).log() - exact).abs().mean()
        for t in (2, 100)
    ]
    assert errors[1] <= errors[0] / 2


@pytest.mark.parametrize("kind", ["bits", "several"])
def test_a_transition_leaves_its_density_invariant(kind):
    """Frequencies of 20 000 chains that start at their target, within 4.5 standard errors.

    32 or 64 states (fails by chance once in 2 000). Caught: no rejection.
    """
    torch.manual_seed(0)
    states = latents(kind)[2]
    shape = states.shape[1:]
    start, target = (
        bits(torch.randn(1, 5)) if kind == "bits" else categories(torch.randn(1, *shape), shape)
        for _ in range(2)
    )
    move = transition(Path(start.log_prob, target.log_prob), start, start, 3)
    state = move.begin(target.sample((20_000,)))
    for _ in range(3):
        state, acceptance = move(state, 1.0, torch.ones(1), torch.randn(20_000, 1, move.noise_dim))
    assert 0.2 < acceptance.item() < 0.99
    probability = target.log_prob(states[:, None])[:, 0].exp()
    found = (state.z == states[:, None, None]).flatten(3).all(-1).double().mean((1, 2))
    error = (probability * (1 - probability) / 20_000).sqrt()
    assert ((found - probability).abs() / error).max() <= 4.5


def test_a_datum_does_not_depend_on_its_company(enumerable):
    """Caught: one noise for a batch."""
    model, x, *_ = enumerable
    evaluation = vi.AnnealedImportanceSampling(vi.Sigmoidal(), 4, 10, 2)
    with datum_noise(0, range(N)):
        whole = evaluation(model, x)["log_likelihood"]
    with datum_noise(0, [N - 2, N - 1]):
        two = evaluation(model, x[-2:])["log_likelihood"]
    assert (whole[-2:] - two).abs().max() <= 1e-9

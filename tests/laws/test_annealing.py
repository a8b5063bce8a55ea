"""Annealed importance sampling agrees with the exact log p(x), from below and from above."""

import pytest
import torch
from torch.distributions import MultivariateNormal

import vi
from tests.support.oracles import LinearGaussian
from vi.distributions.datum_noise import datum_noise
from vi.evaluation.annealing.chains import Annealing
from vi.evaluation.annealing.hamiltonian import Hamiltonian
from vi.evaluation.annealing.transition import Path
from vi.math import log_mean_exp

N, CHAINS = 60, 16


def annealing(num_temperatures: int, scale: float = 1.5) -> tuple[LinearGaussian, Annealing]:
    """From a q of the posterior's mean and a multiple of its deviations; (model, path of x)."""
    torch.manual_seed(0)
    model = LinearGaussian.random(8, 3)
    x = model.sample(N)
    exact = model.exact_posterior(x)
    q = MultivariateNormal(exact.loc, scale_tril=scale * exact.scale_tril)
    path = Annealing(model, x, q, {}, vi.Sigmoidal()(num_temperatures), 5)
    path.adapt(CHAINS, vi.Sigmoidal()(20))
    return model.requires_grad_(requires_grad=False), path


@pytest.mark.parametrize("num_temperatures", [1, 20])
def test_weights_are_unbiased(num_temperatures):
    """mean w / p(x) is 1 within 4 standard errors, and so is the mean of p(x) / w in reverse.

    960 chains, seed 0 (fails by chance once in 16 000). Caught: a temperature left out, a
    transition at the temperature before it, an acceptance of another sign.
    """
    torch.manual_seed(0)
    model, path = annealing(num_temperatures)
    x = path.x
    exact, posterior = model.log_evidence(x), model.exact_posterior(x)
    for ratio in (
        (path.forward(CHAINS).log_w - exact).exp(),
        (exact - path.reverse(posterior.sample((CHAINS,))).log_w).exp(),
    ):
        error = ratio.std() / ratio.numel() ** 0.5
        assert (ratio.mean() - 1).abs() <= 4 * error


def test_both_directions_hold_the_truth_between_them():
    """On average; ten times as many temperatures leave at most a fifth of the gap."""
    gaps = []
    for num_temperatures in (5, 50):
        model, path = annealing(num_temperatures, 4.0)
        exact, posterior = model.log_evidence(path.x), model.exact_posterior(path.x)
        lower = log_mean_exp(path.forward(CHAINS).log_w, 0) - exact
        z = posterior.sample((1,)).expand(CHAINS, *posterior.loc.shape).contiguous()
        upper = -log_mean_exp(-path.reverse(z).log_w, 0) - exact
        assert lower.mean() <= 4 * lower.std() / N**0.5
        assert upper.mean() >= -4 * upper.std() / N**0.5
        gaps.append((upper - lower).mean().item())
    assert 0 < gaps[1] <= gaps[0] / 5


def test_a_transition_leaves_its_density_invariant():
    """Moments of 20 000 chains that start at their target: within 4 standard errors after 5 moves.

    Caught: no rejection, a half step forgotten.
    """
    torch.manual_seed(0)
    start = MultivariateNormal(torch.zeros(1, 2), torch.eye(2))
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    target = MultivariateNormal(torch.ones(1, 2), cov)
    move = Hamiltonian(Path(start.log_prob, target.log_prob), 3, torch.ones(1, 2))
    state = move.begin(target.sample((20_000,)))
    for _ in range(5):
        state, acceptance = move(state, 1.0, torch.tensor([0.5]), torch.randn(20_000, 1, 3))
    assert 0.5 < acceptance.item() < 0.99
    z = state.z[:, 0]
    assert (z.mean(0) - 1).abs().max() <= 4 / 20_000**0.5
    assert (torch.cov(z.T) - cov).abs().max() <= 4 * 2**0.5 / 20_000**0.5


def evaluation(**options) -> vi.AnnealedImportanceSampling:
    return vi.AnnealedImportanceSampling(vi.Sigmoidal(), 4, 10, 2, **options)


@pytest.mark.parametrize("options", [{}, {"from_prior": True}, {"refinement": vi.AdamAscent(3)}])
def test_a_datum_does_not_depend_on_its_company(small_vae, options):
    """Exactly in double precision up to rounding. Caught: one noise for a batch."""
    torch.manual_seed(0)
    model, x = small_vae(), torch.rand(20, 6).round()
    with datum_noise(0, range(20)):
        whole = evaluation(**options)(model, x)["log_likelihood"]
    with datum_noise(0, [18, 19]):
        two = evaluation(**options)(model, x[18:])["log_likelihood"]
    assert (whole[18:] - two).abs().max() <= 1e-9


def test_latents_on_a_sphere_are_refused():
    """With what takes them. Caught: an error of torch."""
    parts = (vi.VonMisesFisher(3), vi.UniformSphere(3), vi.Bernoulli())
    model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    with pytest.raises(vi.ConfigurationError, match="moves real vectors, bits and one-hot"):
        evaluation()(model, torch.rand(4, 6).round())

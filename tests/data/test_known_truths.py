"""Two moons and binary latents: the truth is a density, and the data are drawn from it."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chisquare
from torch.distributions import Normal

from vi.cli.composing.compose import composed
from vi.cli.train import train
from vi.config.run import Run
from vi.data.binary_latent import BinaryLatentData
from vi.data.two_moons import TwoMoons, moon
from vi.errors import ConfigurationError

TRUTH = "data/true_log_likelihood"
BAR = 4.75  # a t-value above this has probability 2e-6

pytestmark = pytest.mark.usefixtures("float64")


def draws(data, n):
    return data.items(n, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [0.01, 0.05, 0.1, 0.5])
def test_the_density_of_a_moon_is_the_integral_over_its_circle(scale):
    """scipy's adaptive quadrature with the peak given, at points of the data: 1e-9 relative.

    Caught: weights that grow along the moon, two arcs for any scale.
    """
    data = TwoMoons(scale=scale, context="label")
    items = draws(data, 12)
    ours = data.truth(items.labels).log_prob(items.stored)
    for x, label, log_p in zip(items.stored, items.labels, ours.tolist(), strict=True):
        up = x if label == 0 else torch.tensor([1.0, 0.5]) - x
        peak = float(np.clip(math.atan2(up[1], up[0]), 0, math.pi))
        around = [float(np.clip(peak + 8 * s * scale, 0, math.pi)) for s in (-1, 1)]
        noise = Normal(up, scale)
        density = lambda t, noise=noise: (
            noise.log_prob(torch.tensor([math.cos(t), math.sin(t)])).sum().exp().item()
        )
        whole = quad(density, *around, epsabs=0, epsrel=1e-12)[0] / math.pi
        assert log_p == pytest.approx(math.log(whole), abs=1e-9)


def test_the_moons_integrate_to_one_and_are_the_mean_of_each():
    """A grid of step s/4, 8 s wide around the moons, exact for Gaussians of sd s: 1e-9."""
    data = TwoMoons(scale=0.2)
    x, y = torch.arange(-2.6, 3.7, 0.05), torch.arange(-2.1, 2.7, 0.05)
    where = torch.cartesian_prod(x, y)
    p = torch.cat([data.truth().log_prob(part).exp() for part in where.split(2000)])
    assert p.sum().item() * 0.05**2 == pytest.approx(1, abs=1e-9)
    some = draws(data, 20).stored
    each = [data.truth(torch.full((20,), c)).log_prob(some) for c in (0, 1)]
    halves = torch.stack(each).logsumexp(0) - math.log(2)
    torch.testing.assert_close(data.truth().log_prob(some), halves, rtol=0, atol=1e-12)


def test_moons_lie_where_they_should():
    """200 000 draws, seed 1: moments of radius and angle about each centre, |t| <= 4.75.

    Caught: angles over the whole circle, the lower moon the wrong way round.
    """
    data = TwoMoons(context="label")
    items = draws(data, 200_000)
    n = len(items)
    assert abs(items.labels.double().mean().item() - 0.5) <= BAR * 0.5 / math.sqrt(n)
    for c, sign in ((0, 1.0), (1, -1.0)):
        x = items.stored[items.labels == c]
        centre = torch.tensor([0.0, 0.0] if c == 0 else [1.0, 0.5])
        # E[cos t] = 0, E[sin t] = 2/pi, so the mean of x is known
        mean = centre + sign * torch.tensor([0.0, 2 / math.pi])
        t = math.sqrt(len(x)) * (x.mean(0) - mean) / x.std(0)
        assert t.abs().max() <= BAR
        squared = (x - centre).square().sum(1)  # E = 1 + 2 s^2
        t = math.sqrt(len(x)) * (squared.mean() - 1.02) / squared.std()
        assert abs(t.item()) <= BAR
    ends = moon(torch.tensor([0.0, math.pi / 2]), torch.tensor([0, 1]))
    torch.testing.assert_close(ends, torch.tensor([[1.0, 0.0], [1.0, -0.5]]))


@pytest.mark.parametrize(
    ("kind", "expected"), [(TwoMoons, -1.005965), (BinaryLatentData, -9.600664)]
)
def test_the_number_of_the_default_truth_is_known(kind, expected):
    assert kind().load().facts[TRUTH] == pytest.approx(expected, abs=1e-6)


def test_a_moon_too_narrow_is_refused():
    with pytest.raises(ConfigurationError, match="data.scale must be at least 0.01, got 0.001"):
        TwoMoons(scale=0.001)


# ------------------------------------------------------------------------- binary latents


def by_hand(data, x):
    """log p(x) of rows of bits, state by state in plain Python."""
    weight, bias = data.weight.numpy(), data.bias.numpy()
    p = np.zeros(len(x))
    for z in itertools.product((0, 1), repeat=weight.shape[1]):
        on = 1 / (1 + np.exp(-(weight @ np.array(z) + bias)))
        prior = np.prod([data.probability if bit else 1 - data.probability for bit in z])
        p += prior * np.prod(np.where(x == 1, on, 1 - on), axis=1)
    return np.log(p)


@pytest.mark.parametrize("probability", [0.5, 0.2])
def test_the_probability_of_bits_is_the_sum_over_all_states(probability):
    """And sums to 1 over all x. Caught: a prior that is not that of z, logits 5 % too large."""
    data = BinaryLatentData(data_dim=7, latent_dim=4, probability=probability)
    x = np.array(list(itertools.product((0, 1), repeat=7)), dtype=float)
    log_p = data.truth().log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(log_p.numpy(), by_hand(data, x), rtol=0, atol=1e-12)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_bits_follow_the_truth():
    """100 000 draws of 2^5 states of x, seed 1, chi-squared: p > 1e-5.

    Caught: z drawn with 1 - r.
    """
    data = BinaryLatentData(data_dim=5, latent_dim=3, probability=0.3)
    n, powers = 100_000, 2 ** torch.arange(5)
    counts = (draws(data, n).stored.long() * powers).sum(1).bincount(minlength=32)
    x = (torch.arange(32)[:, None] & powers).ne(0).double()
    expected = data.truth().log_prob(x).exp() * n
    assert chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-5


def test_data_are_a_function_of_the_truth_seed_alone():
    one = BinaryLatentData().load(0)
    torch.manual_seed(5)
    other = BinaryLatentData(n_train=7).load(1)
    assert torch.equal(one.test.stored, other.test.stored)
    assert not torch.equal(one.test.stored, BinaryLatentData(truth_seed=1).load().test.stored)
    assert set(one.train.stored.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"latent_dim": 13}, "at most 12, got 13"),
        ({"latent_dim": 0}, "data.latent_dim must be greater than 0"),
        ({"data_dim": 0}, "data.data_dim must be greater than 0"),
        ({"scale": 0.0}, "data.scale must be greater than 0"),
        ({"probability": 1.0}, "between 0 and 1"),
        ({"probability": 0.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(values, match):
    with pytest.raises(ConfigurationError, match=match):
        BinaryLatentData(**values)


def test_the_model_has_the_size_of_the_truth():
    plain = composed("train", ["data=binary_latent", "data.latent_dim=4"], Run)
    assert (plain["posterior"]["latent_dim"], plain["prior"]["latent_dim"]) == (4, 4)
    assert plain["decoder"]["hidden"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_moons", "binary_latent"])
def test_two_epochs_from_the_command_line(name, tmp_path):
    """The metrics hold the truth beside the model's number, which is below it."""
    short = ["trainer.max_epochs=2", "data.n_train=500", "evaluation.num_samples=10"]
    plain = composed("train", [f"data={name}", *short], Run)
    train(Run(**plain), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test/elbo"] < metrics[TRUTH]


@pytest.mark.slow
def test_bits_from_bits_are_learned(tmp_path):
    """100 epochs of the option as it is: log p(x) within 0.2 nats of the truth (0.14 seen).

    The gap of q is 0.03 of them. Independent bits are 1.5 nats below the truth.
    """
    train(Run(**composed("train", ["data=binary_latent"], Run)), run_dir=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < metrics[TRUTH] - metrics["test/log_likelihood"] < 0.2

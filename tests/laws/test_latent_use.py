"""Use of z: which dimensions, and how much of the KL is information."""

import math

import pytest
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    OneHotCategorical,
)

import vi
from tests.support.oracles import LinearGaussian, exact_diagonal
from vi.data.base import LoadedData, Values
from vi.diagnoses.base import Subject
from vi.diagnoses.latent_use import LatentUse
from vi.diagnostics.mutual_information import information
from vi.distributions.draw import draw

STRENGTHS = (2.0, 0.0, 0.5, 1.0)
"""Of the orthogonal columns of W; the second latent is dead."""
NOISE = 0.7
TRUTH = sum(0.5 * math.log1p((w / NOISE) ** 2) for w in STRENGTHS)
"""I(x; z) of the model, in nats: 1/2 log det(I + W'W / s^2)."""


def linear(noise: float = NOISE, strengths=STRENGTHS) -> LinearGaussian:
    weight = torch.linalg.qr(torch.randn(8, 4))[0] * torch.tensor(strengths)
    return LinearGaussian(weight, torch.randn(8), noise, exact_diagonal, vi.StandardNormal(4)())


def subject(model, n):
    rows = Values(model.sample(n))
    return Subject(model, LoadedData(rows, None, rows, tuple(model.data_shape)))


def numbers(diagnosis):
    return {number.name: number for number in diagnosis.numbers}


def test_the_kl_is_information_plus_the_kl_of_the_aggregate():
    """With q(z) as an explicit mixture at the same draws, to rounding: 1e-10.

    Caught: log N left out; the mixture over draws in place of data.
    """
    model = linear().double()
    x = model.sample(60)
    q, p = model.posterior(x), model.prior()
    at = draw(q, 3)
    mixture = MixtureSameFamily(
        Categorical(torch.ones(60, dtype=torch.float64)), Independent(Normal(q.mean, q.stddev), 1)
    )
    aggregate = (mixture.log_prob(at.z) - p.log_prob(at.z)).mean()
    kl = (at.log_q - p.log_prob(at.z)).mean()
    found = information(q, at.z, at.log_q)
    assert (kl - found.lower.mean() - aggregate).abs() <= 1e-10
    without = torch.stack(
        [
            MixtureSameFamily(
                Categorical(torch.ones(59)),
                Independent(Normal(*(t[torch.arange(60) != n] for t in (q.mean, q.stddev))), 1),
            ).log_prob(at.z[:, n])
            for n in range(60)
        ],
        1,
    )
    assert (found.upper - (at.log_q - without).mean(0)).abs().max() <= 1e-5


def test_both_bounds_enclose_the_information_of_a_linear_gaussian_model():
    """I = 1/2 log det(I + W'W / s^2) and KL(q(z) || p) = 0 for the exact q; 4 s.e., 1 500 data.

    Caught: the datum's own q left out of the lower bound; a factor of the draws.
    """
    found = numbers(LatentUse(1500, 3000)(subject(linear(), 1500)))
    low, high = found["mutual_information"], found["mutual_information_at_most"]
    assert low.value - 4 * low.data_error <= TRUTH <= high.value + 4 * high.data_error
    assert high.value - low.value < 0.5
    assert abs(found["kl"].value - TRUTH) < 4 * found["kl"].data_error
    assert found["aggregate_kl"].value <= 4 * found["kl"].data_error


def test_a_dead_dimension_has_its_name():
    """Caught: dimensions counted from 0; the used ones listed."""
    found = LatentUse(500, 500)(subject(linear(), 500))
    assert found.said[0] == "1 of 4 dimensions of z are unused: z_2"
    assert numbers(found)["active_units"].value == 3
    assert numbers(found)["kl_z_2"].value == pytest.approx(0, abs=1e-6)
    bars = found.figures["latent_use"].axes[0].patches
    assert [round(bar.get_height(), 6) == 0 for bar in bars] == [False, False, False, True]


def test_a_saturated_bound_says_so():
    """I is 12 nats, and 100 data show at most log 100 = 4.61. Caught: 4.61 stated as I."""
    found = LatentUse(100, 100)(subject(linear(0.05, (1.0,) * 4), 100))
    assert "at least 4.6" in found.said[1]
    assert "saturated at log N = 4.61 for 100 data" in found.said[1]
    assert "and at most" in found.said[1]
    value = numbers(found)["mutual_information"]
    assert value.value <= math.log(100) + 1e-6
    assert value.reliability == "lower bound"


def test_a_discrete_latent_has_the_sum_over_its_states():
    """(1/N) sum_nc r_nc log(r_nc / mean r_c), within 4 s.e. of 400 draws for each of 50 data."""
    q = OneHotCategorical(logits=2 * torch.randn(50, 3, dtype=torch.float64))
    at = draw(q, 400)
    exact = (q.probs * (q.probs / q.probs.mean(0)).log()).sum(1).mean()
    found = information(q, at.z, at.log_q).lower
    error = (at.log_q - at.log_q.mean(0)).std() / math.sqrt(at.log_q.numel())
    assert (found.mean() - exact).abs() < 4 * error


def test_a_mixture_is_diagnosed():
    """Of one variable: no KL by dimension, I at most log C."""
    model = vi.BernoulliMixture((6,), 3, restarts=1)
    x = torch.randint(0, 2, (80, 6), generator=torch.Generator().manual_seed(0)).double()
    rows = Values(x)
    found = LatentUse()(Subject(model, LoadedData(rows, None, rows, (6,))))
    assert not found.figures
    assert numbers(found)["mutual_information"].value <= math.log(3)


def test_a_collapsed_model_carries_nothing():
    found = LatentUse(300, 300)(subject(linear(strengths=(0.0,) * 4), 300))
    assert found.said[0] == "4 of 4 dimensions of z are unused: z_1, z_2, z_3, z_4"
    assert found.said[-1] == "z carries almost no information about x"


def test_layers_add_up_to_the_kl(small_vae, data):
    """Caught: a layer's KL under the other's draws."""
    model = small_vae(posterior=vi.ChainPosterior([2, 1]), prior=vi.ChainPrior([2, 1]))
    rows = Values(data)
    found = numbers(LatentUse()(Subject(model, LoadedData(rows, None, rows, (6,)))))
    assert found["kl_z_1"].value + found["kl_z_2"].value == pytest.approx(
        found["kl"].value, abs=1e-4
    )
    assert "active_units" not in found


def test_one_datum_is_refused():
    with pytest.raises(vi.DataError, match="one datum"):
        LatentUse()(subject(linear(), 1))

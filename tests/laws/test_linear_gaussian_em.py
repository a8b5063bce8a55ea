"""EM of PPCA and factor analysis: M-steps that are maxima, and where it ends."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

import vi
from tests.support.linear_gaussian import (
    MODELS,
    D,
    N,
    Z,
    at_random,
    em,
    factor_data,
    psi,
    random_q,
)
from tests.support.oracles import tipping_bishop
from vi.distributions.delta import Delta


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make_model(request):
    """Makes a model of either kind with parameters at random."""
    return partial(at_random, request.param)


def test_energy_plus_entropy_is_the_evidence(make_model):
    """Under the exact posterior F = sum log p(x): at most 1e-10 relative.

    Caught: log p(z) left out of the energy, statistics that forget the covariance of q.
    """
    model, x = make_model(), torch.randn(N, D)
    model.origin.normal_()
    evidence = model.log_evidence(x).sum()
    assert (model.free_energy(model.e_step(x)) / evidence - 1).abs() <= 1e-10


def test_energy_is_the_expected_log_joint(make_model):
    """For any q, over sigma points: at most 1e-10 relative. Caught: mu not counted from origin."""
    model, x, q = make_model(), torch.randn(N, D), random_q()
    model.origin.normal_()
    expected = model.log_joint(x, q.rsample((2 * Z,))).mean(0).sum()
    assert (model.energy(model.statistics(x, q)) / expected - 1).abs() <= 1e-10


def test_statistics_add_over_batches(make_model):
    """Of three batches and of the whole, and less the last of them: at most 1e-10."""
    model, x = make_model(), torch.randn(N, D)
    one, two, three = (model.e_step(part) for part in x.split([20, 29, 1]))
    for total, rows in ((one + two + three, x), (one + two + three - three, x[:49])):
        whole = model.e_step(rows)
        assert total.sums.keys() == whole.sums.keys()
        assert all((total[k] - whole[k]).abs().max() <= 1e-10 for k in whole.sums)


def test_m_step_is_a_stationary_point_of_the_energy(make_model):
    """For any q: every derivative of the energy per datum at most 1e-8.

    Caught: W regressed without the constant, Psi with the old W.
    """
    model, x = make_model(), factor_data(N)
    statistics = model.statistics(x, random_q())
    model.m_step(statistics)
    gradients = torch.autograd.grad(model.energy(statistics) / N, list(model.parameters()))
    assert max(g.abs().max() for g in gradients) <= 1e-8


def test_m_step_is_above_its_neighbours(make_model):
    """200 perturbations of every parameter at once, of 1e-3 to 1: all of them lower."""
    model, x = make_model(), factor_data(N)
    statistics = model.statistics(x, random_q())
    with torch.no_grad():
        model.m_step(statistics)
        best, top = model.energy(statistics), [p.clone() for p in model.parameters()]
        for size in torch.logspace(-3, 0, 200):
            for p, at in zip(model.parameters(), top, strict=True):
                p.copy_(at + size * torch.randn_like(p))
            assert model.energy(statistics) < best


def test_m_step_of_points_is_least_squares(make_model):
    """Hard z: W and mu are those of torch.linalg.lstsq: at most 1e-10."""
    model, x, z = make_model(), factor_data(N), torch.randn(N, Z)
    model.m_step(model.statistics(x, Delta(z)))
    theta = torch.linalg.lstsq(torch.cat([z, torch.ones(N, 1)], -1), x).solution.mT
    assert (model.weight - theta[:, :-1]).abs().max() <= 1e-10
    assert (model.loc - theta[:, -1]).abs().max() <= 1e-10


def test_a_far_away_mean_costs_no_digits(make_model):
    """Data of variance 1 around 1e6: the same Psi as around 0, at most 1e-8.

    Caught: statistics counted from 0 in place of the mean.
    """
    near, far = (make_model() for _ in range(2))
    x = factor_data(N)
    x = (x * 2**20).round() / 2**20  # so that the shift itself is exact
    for model, data in ((near, x), (far, x + 1e6)):
        torch.manual_seed(1)
        model.initialize(data)
        em(model, data, 20)
    assert (near.log_scale - far.log_scale).abs().max() <= 1e-8


def test_em_never_falls(make_model):
    """200 iterations of EM from any start raise log p(x); each drop is at most 1e-9 relative."""
    model, x = make_model(), factor_data(N)
    values = em(model, x, 200)
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    assert values[-1] - values[0] > 0.5


def test_ppca_ends_at_tipping_and_bishop():
    """500 iterations of EM reach the closed-form optimum to 1e-7 relative (measured 2e-15)."""
    model, x = vi.PPCA((D,), Z), factor_data(200)
    model.initialize(x)
    assert em(model, x, 500)[-1] == pytest.approx(tipping_bishop(x, Z).item(), rel=1e-7)


def test_factor_analysis_ends_where_that_of_scikit_learn_does():
    """500 iterations: at most 1e-4 nats/datum apart (measured 1e-14). Caught: Psi of one size."""
    from sklearn.decomposition import FactorAnalysis

    model, x = vi.FactorAnalysis((D,), Z), factor_data(500)
    model.initialize(x)
    reference = FactorAnalysis(Z, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert abs(em(model, x, 500)[-1] - reference.score(x.numpy())) <= 1e-4


def test_a_floor_is_the_constrained_maximum():
    """Floors of 0.3 of the variance: an entry is stationary, or it is at the floor and would fall.

    EM under this constraint does not fall either. Caught: the floor added to Psi.
    """
    model, x = vi.FactorAnalysis((D,), Z, floor=0.3), factor_data(200)
    model.initialize(x)
    values = em(model, x, 200)
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    with torch.no_grad():
        statistics = model.e_step(x)
    model.m_step(statistics)
    slope = torch.autograd.grad(model.energy(statistics) / 200, model.log_scale)[0]
    at_floor = (psi(model) / model.least_variance - 1).abs() <= 1e-12
    assert 0 < at_floor.sum() < D
    assert (slope[at_floor] < 0).all()
    assert slope[~at_floor].abs().max() <= 1e-8


def test_a_floor_holds_a_heywood_case_and_a_constant_entry():
    """An entry that is a factor itself, and one that is always 0.1: finite, and still rising."""
    x = factor_data(200)
    x[:, 0], x[:, 1] = x[:, 2] + x[:, 3], 0.1
    model = vi.FactorAnalysis((D,), Z)
    model.initialize(x)
    values = em(model, x, 200)
    assert math.isfinite(values[-1])
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    assert (psi(model) >= model.least_variance * (1 - 1e-12)).all()
    assert model.least_variance[1] == pytest.approx(1e-6 * x.var(0, correction=0).mean().item())


def test_the_slope_of_the_evidence_is_that_of_the_energy(make_model):
    """Fisher's identity at the exact posterior: at most 1e-9 per datum; so gradients work too."""
    model, x = make_model(), torch.randn(N, D)
    with torch.no_grad():
        statistics = model.e_step(x)
    parameters = list(model.parameters())
    of_evidence = torch.autograd.grad(model.log_evidence(x).mean(), parameters)
    of_energy = torch.autograd.grad(model.energy(statistics) / N, parameters)
    for one, other in zip(of_evidence, of_energy, strict=True):
        assert (one - other).abs().max() <= 1e-9
        assert one.abs().max() > 0


@pytest.mark.parametrize("make_model", [vi.PPCA], indirect=True)
def test_data_without_noise_are_refused_and_leave_the_model_whole(make_model):
    """A plane in 8 dimensions: s^2 goes to 0, and the last good parameters stay.

    Caught: the check left out, W and mu set before Psi was checked.
    """
    model, x = make_model(), torch.randn(N, 2) @ torch.randn(2, D)
    with pytest.raises(vi.NumericsError, match="noise variance fell to .* no maximum"):
        vi.PPCA((D,), Z).initialize(x)
    before: dict[str, torch.Tensor] = {}

    def climb():
        for _ in range(200):
            before.update({k: v.clone() for k, v in model.state_dict().items()})
            model.m_step(model.e_step(x))

    with pytest.raises(vi.NumericsError, match="noise variance fell to .* no maximum") as no:
        climb()
    assert "latent_dim below 3" in no.value.hint
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(vi.NumericsError, match="in data of variance 0:"):
        model.initialize(torch.ones(N, D))


def test_fewer_points_than_factors_are_refused(make_model):
    """Three data on points cannot hold W and mu. Caught: the check left out."""
    model = make_model()
    statistics = model.statistics(torch.randn(3, D), Delta(torch.randn(3, Z)))
    with pytest.raises(vi.NumericsError, match=r"over 3 data are singular \(pivots") as no:
        model.m_step(statistics)
    assert "more than latent_dim=3 data" in no.value.hint

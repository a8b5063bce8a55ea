"""Mixtures of data that are too few, constant or far from 0, and the errors that they raise."""

import pytest
import torch

import vi
from tests.support.mixtures import C, D, N, bits, covariance, em_iteration, reals
from vi.config.registry import options
from vi.covariances.diagonal import Diagonal
from vi.covariances.full import Full
from vi.covariances.spherical import Spherical
from vi.data.base import LoadedData, Values
from vi.distributions.delta import Delta
from vi.models.bernoulli_mixture import BernoulliMixture
from vi.models.gmm import GMM
from vi.models.poisson_mixture import PoissonMixture
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings


@pytest.mark.parametrize(
    ("make", "rate"),
    [
        (BernoulliMixture, lambda x, n0, mean: (x.sum(0) + n0 / 2) / (len(x) + n0)),
        (PoissonMixture, lambda x, n0, mean: (x.sum(0) + n0 * mean) / (len(x) + n0)),
    ],
)
def test_pseudo_data_are_added_to_the_data(make, rate):
    """With hard z the means are counted by hand: at most 1e-12. Caught: n_0 ones and n_0 zeros."""
    x = bits()
    model = make((D,), 2, prior_count=3.0)
    model.calibrate(x)
    z = torch.nn.functional.one_hot(torch.arange(N) % 2).double()
    model.m_step(model.statistics(x, Delta(z)))
    expected = torch.stack([rate(x[i::2], 3.0, x.mean(0)) for i in range(2)])
    assert (model.component_means() - expected).abs().max() <= 1e-12
    assert (model.log_weights().exp() - 0.5).abs().max() <= 1e-12


def test_a_bit_that_is_never_one_stays_finite():
    """Without a prior the probability of such a bit stays at 1e-12. Caught: log 0."""
    x = torch.cat([bits(), torch.zeros(N, 1)], 1)
    model = BernoulliMixture((D + 1,), C, prior_count=0.0)
    model.initialize(x)
    assert model.log_evidence(x).isfinite().all()
    assert model.component_means()[:, -1].max() <= 1.1e-12


def test_far_from_zero_nothing_is_lost():
    """With data moved by 1e6 the scales agree to 1e-6 relative. Caught: moments about 0."""
    x = reals()
    scales = []
    for shift in (0.0, 1e6):
        torch.manual_seed(1)
        model = GMM((D,), C, Full(), restarts=1)
        model.initialize(x + shift)
        for _ in range(20):
            em_iteration(model, x + shift)
        scales.append(model.covariance.scale_tril().detach())
    assert (scales[1] / scales[0] - 1)[scales[0] != 0].abs().max() <= 1e-6


def test_units_do_not_matter():
    """Dimensions in units of 1e-9 and 1e9 give the same responsibilities: at most 1e-9.

    Caught: eigenvalues that are not measured in the variance of the data.
    """
    x, units = reals(), torch.tensor([1e-9, 1e9, 1.0, 1.0])
    r = []
    for y in (x, x * units):
        model = GMM((D,), C, Full(prior_count=1.0))
        model.calibrate(y)
        model.m_step(model.statistics(y, Delta(_thirds())))
        r.append(model.posterior(y).mean)
    assert (r[0] - r[1]).abs().max() <= 1e-9


def _thirds():
    return torch.nn.functional.one_hot(torch.arange(N) % C).double()


def test_a_constant_dimension_needs_the_floor_or_the_prior():
    """Without either it is an error that states the numbers; with one of them it works.

    Caught: a prior or a floor that is 0 where the data are constant.
    """
    x = torch.cat([reals(), torch.full((N, 1), 0.1)], 1)
    expected = r"not positive definite: its smallest eigenvalue is \S+ times the variance"
    for option in options("covariance"):
        if option == "spherical":
            continue
        with pytest.raises(vi.NumericsError, match=expected) as told:
            GMM((D + 1,), C, covariance(option, floor=0.0), restarts=1).initialize(x)
        assert told.value.hint.startswith("covariance.floor=1e-12 keeps that part")
        assert "covariance.prior_count=1" in told.value.hint
        assert "of 0.01 times it (covariance.prior_scale=0.1, squared)" in told.value.hint
        for chosen in (covariance(option, prior_count=1.0, floor=0.0), covariance(option)):
            model = GMM((D + 1,), C, chosen, restarts=1)
            model.initialize(x)
            em_iteration(model, x)
            assert model.log_evidence(x).isfinite().all()


def test_an_empty_component_needs_the_prior():
    """Without a prior it is an error that changes nothing; with the hint the component stays.

    Caught: 0 / 0 as the centre.
    """
    x, z = reals(), _thirds()
    z[:, 2] = 0
    for option in options("covariance"):
        model = GMM((D,), C, covariance(option))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(
            vi.NumericsError, match="component 2 is empty .weight 0 of 200 "
        ) as told:
            model.m_step(model.statistics(x, Delta(z)))
        assert told.value.exit_code == 5
        assert told.value.hint.startswith("covariance.prior_count=1")
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        model = GMM((D,), C, covariance(option, prior_count=1.0))
        place = model.loc[2].clone()
        model.m_step(model.statistics(x, Delta(z)))
        assert (model.loc[2] - place).abs().max() <= 1e-12
        assert model.log_evidence(x).isfinite().all()
        assert model.energy(model.statistics(x, Delta(z))).isfinite()


@pytest.mark.parametrize("make", [BernoulliMixture, PoissonMixture])
def test_an_empty_component_of_counts_needs_the_prior(make):
    x, z = bits(), _thirds()
    z[:, 2] = 0
    with pytest.raises(vi.NumericsError, match="component 2 is empty") as told:
        make((D,), C, prior_count=0.0).m_step(make((D,), C).statistics(x, Delta(z)))
    assert told.value.hint.startswith("model.prior_count=1")
    model = make((D,), C)
    model.m_step(model.statistics(x, Delta(z)))
    assert model.log_evidence(x).isfinite().all()


@pytest.mark.parametrize("size", [N + 1, 6])
def test_more_components_than_data(size):
    """More components than data are an error.

    Caught: two components at one point, equal for ever.
    """
    x = torch.eye(5)[torch.arange(N) % 5]
    with pytest.raises(vi.DataError, match=f"{size} components are more than the") as told:
        GMM((5,), size, Diagonal(prior_count=1.0)).initialize(x)
    assert told.value.hint.startswith("model.num_components=")


def test_counts_and_bits_are_checked_before_training():
    """The guard of every run checks them through ``likelihood_head``."""
    x = reals()
    data = LoadedData(train=Values(x), val=None, test=Values(x), shape=(D,))
    settings = TrainerSettings()
    with pytest.raises(vi.DataError, match="BernoulliMixture needs 0/1 data"):
        check_data(data, BernoulliMixture((D,), C), settings)
    with pytest.raises(vi.DataError, match="PoissonMixture needs counts"):
        check_data(data, PoissonMixture((D,), C), settings)


def test_what_cannot_be_is_refused():
    for make in (
        lambda: GMM((D,), 0, Full()),
        lambda: GMM((D,), 2, Full(), restarts=0),
        lambda: Full(prior_count=-1.0),
        lambda: Full(prior_scale=0.0),
        lambda: Spherical(scale=0.0),
        lambda: BernoulliMixture((D,), 2, prior_count=-1.0),
    ):
        with pytest.raises(vi.ConfigurationError):
            make()
    shared = Full()
    GMM((D,), C, shared)
    with pytest.raises(vi.ConfigurationError, match="already belongs to a model"):
        GMM((D,), C, shared)

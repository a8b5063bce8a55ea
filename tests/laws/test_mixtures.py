"""Exact mixtures: evidence by enumeration, M-steps that are maxima, and EM that never falls."""

import copy
import itertools
import math
from functools import cache

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from torch.distributions import (
    Bernoulli,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Poisson,
)

import vi
from tests.support.oracles import standard_error
from tests.support.parts import part
from vi.cli.compose import composed
from vi.config.build import build
from vi.config.registry import options
from vi.config.run import Run
from vi.covariances.diagonal import Diagonal
from vi.covariances.full import Full
from vi.covariances.spherical import Spherical
from vi.data.base import LoadedData, Values
from vi.distributions.delta import Delta
from vi.initializations.random import RandomData
from vi.models.bernoulli_mixture import BernoulliMixture
from vi.models.gmm import GMM
from vi.models.poisson_mixture import PoissonMixture
from vi.models.successive_halving import SuccessiveHalving
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings

N, D, C = 300, 4, 3


def covariance(option, **values):
    return build("covariance", {**part("covariance", option), **values})


def bits(n=N):
    return (torch.rand(C, D)[torch.randint(C, (n,))] > torch.rand(n, D)).double()


def counts(n=N):
    return torch.poisson((8 * torch.rand(C, D))[torch.randint(C, (n,))])


def reals(n=N):
    return 2 * torch.randn(C, D)[torch.randint(C, (n,))] + torch.randn(n, D) @ torch.randn(D, D)


def _gmm(option, prior_count=0.0, **values):
    return lambda: (GMM((D,), C, covariance(option, prior_count=prior_count), **values), reals())


# {id: makes a mixture and data}; every covariance yaml is among them.
KINDS = {
    **{option: _gmm(option) for option in options("covariance")},
    **{f"{option}_prior": _gmm(option, 5.0) for option in options("covariance")},
    "spherical_given": lambda: (GMM((D,), C, Spherical(scale=1.5)), reals()),
    "fixed_weights": _gmm("full", learn_weights=False),
    "bernoulli": lambda: (BernoulliMixture((D,), C), bits()),
    "bernoulli_no_prior": lambda: (BernoulliMixture((D,), C, prior_count=0.0), bits()),
    "poisson": lambda: (PoissonMixture((D,), C), counts()),
    "poisson_no_prior": lambda: (PoissonMixture((D,), C, prior_count=0.0), counts()),
}


@cache
def started(kind):
    """A mixture at its start, and data: the same for all tests, and no random state of theirs."""
    with torch.random.fork_rng(devices=[]):
        model, x = KINDS[kind]()
        model.restarts = 1  # of several the best would leave EM little to do
        model.initialize(x)
    return model, x


@pytest.fixture(params=list(KINDS))
def start(request):
    """A mixture at its start, which is the test's own, and data."""
    model, x = started(request.param)
    return copy.deepcopy(model), x.clone()


def scale_tril(model):
    """L, (C, D, D), column by column."""
    columns = model.covariance.colour(torch.eye(D)[:, None]).expand(D, C, D)
    return columns.permute(1, 2, 0)


def reference(model):
    """The same mixture made of torch's distributions."""
    match model:
        case GMM():
            components = MultivariateNormal(model.loc, scale_tril=scale_tril(model))
        case BernoulliMixture():
            components = Independent(Bernoulli(logits=model.logits), 1)
        case PoissonMixture():
            components = Independent(Poisson(model.log_rate.exp()), 1)
    return MixtureSameFamily(
        torch.distributions.Categorical(logits=model.weight_logits), components
    )


def objective(model, statistics):
    return float((model.free_energy(statistics) + model.log_prior()).detach())


def em_iteration(model, x):
    """The objective before the M-step."""
    statistics = model.e_step(x)
    value = objective(model, statistics)
    model.m_step(statistics)
    return value


def test_evidence_is_that_of_torch(start):
    """At most 1e-11 relative. Caught: a forgotten log pi, 2 log |L| without the 2."""
    model, x = start
    expected = reference(model).log_prob(x)
    assert (model.log_evidence(x) / expected - 1).abs().max() <= 1e-11


def test_evidence_sums_the_joint_over_the_support(start):
    """N3: log sum_z p(x, z) with p(x|z) p(z) and with log_joint: at most 1e-11.

    Caught: log_joint without the prior.
    """
    model, x = start
    z = model.prior().enumerate_support()[:, None].expand(C, len(x), C)
    by_parts = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
    joint = model.log_joint(x, z)
    assert (joint - by_parts).abs().max() <= 1e-11
    assert (joint.logsumexp(0) - model.log_evidence(x)).abs().max() <= 1e-11


def test_free_energy_of_the_posterior_is_the_evidence(start):
    """Energy + entropy, from the statistics alone: at most 1e-10 nats per datum.

    Caught: N D log 2 pi of one component only, the scatter about the old centre.
    """
    model, x = start
    model.m_step(model.e_step(x))  # centres that are not means of these responsibilities
    gap = model.free_energy(model.e_step(x)) - model.log_evidence(x).sum()
    assert gap.abs() <= 1e-10 * len(x)


@pytest.mark.parametrize("bound", ["elbo", "elbo_entropy", "elbo_log_weight"])
def test_bounds_are_the_evidence(start, bound):
    """N2: every form sums over z, so that it is log p(x): at most 1e-10.

    Caught: log p(x|z) of the wrong component.
    """
    model, x = start
    estimate = build("bound", part("bound", bound))(model, x)
    assert (estimate.value - model.log_evidence(x)).abs().max() <= 1e-10


def test_the_m_step_is_a_stationary_point(start):
    """Of energy + log prior: |gradient| per datum at most 1e-8, and no step aside is better.

    Caught: N_c + n_0 - 1 in place of N_c + n_0, the scatter about the origin, S_0 without n_0.
    """
    model, x = start
    statistics = model.e_step(x)
    model.m_step(statistics)
    value = model.energy(statistics) + model.log_prior()
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() <= 1e-8 * len(x), name
    saved = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(20):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name] + 0.01 * torch.randn_like(parameter))
        assert model.energy(statistics) + model.log_prior() < value


def test_em_never_falls(start):
    """N11: log p(x) + log p(theta) over 100 iterations: a drop of at most 1e-9 relative.

    Caught: M-step without the prior that log_prior counts, a tied scatter divided by N_c.
    """
    model, x = start
    values = [em_iteration(model, x) for _ in range(100)]
    assert values[-1] > values[0]
    for before, after in itertools.pairwise(values):
        assert after >= before - 1e-9 * abs(before)


def test_statistics_add_up(start):
    """Over batches of 7: at most 1e-12 relative. Caught: a mean in place of a sum."""
    model, x = start[0], start[1][:60]
    whole = model.e_step(x)
    first, *others = (model.e_step(rows) for rows in x.split(7))
    total = sum(others, start=first)
    assert whole.sums.keys() == total.sums.keys()
    for name, value in whole.sums.items():
        assert (total[name] - value).abs().max() <= 1e-12 * value.abs().max().clamp(min=1), name


def test_statistics_hold_no_graph(start):
    """Caught: sums that keep every batch alive."""
    model, x = start
    assert not any(v.requires_grad for v in model.e_step(x).sums.values())


def test_reconstruction_is_the_mean_under_the_posterior(start):
    """E[x|z] at z = E_q[z] is sum_c r_c E[x|c]: at most 1e-12. Caught: the nearest component."""
    model, x = start
    r, p = model.posterior(x).mean, reference(model)
    expected = r @ p.component_distribution.mean
    assert (model.reconstruct(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert (model.encode(x) - r).abs().max() == 0


def test_samples_have_the_moments_of_the_mixture(start):
    """100 000 draws, seed 0: the means of x, x^2 and x_i x_j of neighbours within 5 s.e.

    12 per kind: fails by chance once in 140 000. Caught: noise coloured with L' in place of L.
    """
    model, _ = start
    p, x = reference(model), model.sample(100_000)
    moments = (
        (x, p.mean),
        (x.square(), p.variance + p.mean.square()),
        (x * x.roll(1, 1), _neighbours(model)),
    )
    for values, expected in moments:
        assert ((values.mean(0) - expected).abs() <= 5 * standard_error(values)).all()


def _neighbours(model):
    """E[x_d x_(d-1)], (D,), with x_(-1) the last."""
    loc, weights = model.component_means(), model.log_weights().exp()
    product = loc * loc.roll(1, 1)
    if isinstance(model, GMM):
        tril = scale_tril(model)
        product = product + (tril * tril.roll(1, 1)).sum(-1)
    return weights @ product


def test_gradient_ascent_climbs(start):
    """Gradient schemes can train a mixture too. Caught: a detached covariance."""
    model, x = start
    before = model.log_evidence(x).mean()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(50):
        optimizer.zero_grad()
        (-vi.ELBO()(model, x).surrogate.mean()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().max() > 0, name
        optimizer.step()
    assert model.log_evidence(x).mean() > before


def test_saving_and_loading_keeps_every_bit(start, tmp_path):
    """Caught: an origin or a fixed weight that is no buffer."""
    model, x = start
    again = vi.load(vi.save(model, tmp_path / "model"))
    assert torch.equal(again.log_evidence(x), model.log_evidence(x))
    assert torch.equal(again.log_prior(), model.log_prior())


def test_data_in_single_precision_are_welcome(start):
    """They are the same numbers in double precision: bit-equal. Caught: a forgotten cast."""
    model, x = start
    single = x.float()
    assert torch.equal(model.log_evidence(single), model.log_evidence(single.double()))


TYPES = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


@pytest.mark.parametrize("option", list(TYPES))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_em_takes_the_steps_of_scikit_learn(option):
    """The mean log p(x) after 1, 2, .., 10 iterations from the same start: at most 1e-8.

    Caught: N_c - 1 for N_c; the mean of D variances for their sum.
    """
    x = reals() + 100
    model = GMM((D,), C, covariance(option), restarts=1)
    model.initialize(x)
    theirs = GaussianMixture(
        C,
        covariance_type=TYPES[option],
        tol=0,
        reg_covar=0,
        max_iter=1,
        warm_start=True,
        weights_init=model.log_weights().detach().exp().numpy(),
        means_init=model.loc.detach().numpy().copy(),
        precisions_init=_precisions(model, option),
    )
    for _ in range(10):
        em_iteration(model, x)
        theirs.fit(x.numpy())
        ours = model.log_evidence(x).mean().item()
        assert abs(ours - theirs.score(x.numpy())) <= 1e-8


def _precisions(model, option):
    tril = scale_tril(model).detach()
    precision = (tril @ tril.mT).inverse()
    match option:
        case "full":
            return precision.numpy()
        case "tied":
            return precision[0].numpy()
        case "diagonal":
            return precision.diagonal(dim1=1, dim2=2).numpy()
    return precision[:, 0, 0].numpy()


def hard(q):
    """All mass on the likeliest component."""
    return Delta(torch.nn.functional.one_hot(q.mean.argmax(-1), q.mean.shape[-1]).double())


@cache
def _kmeans_of(num_components):
    """What the command line makes of it."""
    options = ["model=kmeans", f"num_components={num_components}"]
    return composed("train", options, Run)["model"]


def _kmeans(x, num_components):
    kmeans = _kmeans_of(num_components)
    defaults = {"data_shape": x.shape[1:], "initialization": part("initialization", "random")}
    model = build("model", kmeans, defaults=defaults)
    model.initialize(x)
    return model


def test_hard_em_of_kmeans_is_kmeans():
    """The inertia of scikit-learn from the same centres, and no iteration that raises it: 1e-10.

    Caught: weights that are learned.
    """
    x = reals()
    model = _kmeans(x, 5)
    theirs = KMeans(5, init=model.loc.detach().numpy(), n_init=1, tol=0).fit(x.numpy())
    inertia = []
    for _ in range(100):
        q = hard(model.posterior(x))
        inertia.append(float((x - q.mean @ model.loc.detach()).square().sum()))
        model.m_step(model.statistics(x, q))
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(inertia))
    assert inertia[-1] == pytest.approx(theirs.inertia_, rel=1e-10)


def test_soft_em_of_a_small_scale_is_kmeans():
    """From the centres of k-means EM goes less far the smaller s is, at last less than 1e-6.

    Caught: a scale that is learned although it is given.
    """
    x = reals()
    kmeans = _kmeans(x, C)
    for _ in range(100):
        kmeans.m_step(kmeans.statistics(x, hard(kmeans.posterior(x))))
    distances = []
    for scale in (1.0, 0.3, 0.03):
        model = GMM((D,), C, Spherical(scale=scale), learn_weights=False)
        model.loc.data.copy_(kmeans.loc)
        for _ in range(200):
            model.m_step(model.e_step(x))
        distances.append(float((model.loc - kmeans.loc).detach().abs().max()))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] <= 1e-6


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
    """Without prior its probability is kept at 1e-12. Caught: log 0."""
    x = torch.cat([bits(), torch.zeros(N, 1)], 1)
    model = BernoulliMixture((D + 1,), C, prior_count=0.0)
    model.initialize(x)
    assert model.log_evidence(x).isfinite().all()
    assert model.component_means()[:, -1].max() <= 1.1e-12


@pytest.mark.parametrize("option", options("initialization"))
def test_centres_are_different_data(option):
    """Each is a row of x, and no two are equal, though 9 of 10 rows are. Caught: duplicates."""
    x = torch.cat([torch.zeros(90, 2), torch.randn(10, 2)])
    initialization = build("initialization", part("initialization", option))
    centres = initialization.centres(x, 11)
    assert len(centres.unique(dim=0)) == 11
    assert all((x == centre).all(1).any() for centre in centres)
    with pytest.raises(vi.DataError, match="12 components are more than the 11 different") as told:
        initialization.centres(x, 12)
    assert told.value.hint == "model.num_components=11 or less"


def test_kmeans_plus_plus_weighs_by_squared_distance():
    """Of one trial: after 0 come 1 or 3 with odds 1 : 9; 4 000 starts, 5 s.e. (1 in 10^6).

    Caught: the distance in place of its square.
    """
    x = torch.tensor([[0.0]] * 50 + [[1.0], [3.0]])
    starts = [vi.KMeansPlusPlus(trials=1).centres(x, 2).flatten() for _ in range(4000)]
    second = torch.stack([s[1] for s in starts if s[0] == 0])
    share = (second == 3).double().mean()
    assert (share - 0.9).abs() <= 5 * math.sqrt(0.09 / len(second))


def test_the_best_of_several_starts_goes_on(monkeypatch):
    """Its objective is the greatest of all, of six starts and of the better three and two.

    Caught: the last start kept.
    """
    x = reals()
    model = GMM((D,), 8, Full(prior_count=1.0), RandomData(), restarts=6)
    tried = []
    climb = SuccessiveHalving._climb

    def climbing(*given):
        tried.append(climb(*given))
        return tried[-1]

    monkeypatch.setattr(SuccessiveHalving, "_climb", climbing)
    model.initialize(x)
    tried, stands = zip(*tried, strict=True)
    assert len(set(tried)) == len(tried) == 6 + 3 + 2 - sum(stands[6:9])
    assert max(tried[6:9]) > max(tried[:6])
    assert objective(model, model.e_step(x)) == pytest.approx(max(tried), rel=1e-12)


def test_far_from_zero_nothing_is_lost():
    """Data moved by 1e6: the scales agree to 1e-6 relative. Caught: moments about 0."""
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
    """Dimensions in units of 1e-9 and 1e9: the same responsibilities, at most 1e-9.

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
    """Without both it is refused, with the numbers; with either it works.

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
    """Without one it is refused and nothing is set; with the hint it keeps its place.

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
    """Caught: two components at one point, which stay equal for ever."""
    x = torch.eye(5)[torch.arange(N) % 5]
    with pytest.raises(vi.DataError, match=f"{size} components are more than the") as told:
        GMM((5,), size, Diagonal(prior_count=1.0)).initialize(x)
    assert told.value.hint.startswith("model.num_components=")


def test_counts_and_bits_are_checked_before_training():
    """Through ``likelihood_head``, by the guard of every run."""
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


def test_many_dimensions_are_summed_as_few():
    """The two ways to the second moments agree: at most 1e-12. Caught: a last block left out."""
    x, r = torch.randn(1000, 40), torch.rand(1000, C).softmax(-1)
    few = Full().second_moment(x[:, :32], r)
    many = Full().second_moment(x, r)
    assert (few - many[:, :32, :32]).abs().max() <= 1e-12 * few.abs().max()


def test_images_are_flat():
    """Caught: an event shape (2, 2) in place of (4,)."""
    assert GMM((2, 2), C, Full()).data_shape == (4,)

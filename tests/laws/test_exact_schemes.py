"""EM in closed form: its steps, its objective that never falls, and who says so when it does."""

import copy
import math
from itertools import pairwise

import pytest
import torch

import vi
from tests.support.oracles import standard_error
from vi.data.base import Batch
from vi.models.linear_gaussian import LinearGaussian
from vi.schemes.base import Context
from vi.schemes.objective_monitor import ObjectiveMonitor

N, D = 60, 4


def _centres():
    return 6 * torch.eye(3, D)[torch.arange(N) % 3]


def reals():
    """Three clusters that stand apart."""
    return _centres() + torch.randn(N, D)


def factors():
    """One factor behind all entries."""
    return 2 * torch.randn(N, 1) + torch.randn(N, D)


def bits():
    return (torch.rand(N, D) < (_centres() / 6 * 0.8 + 0.1)).double()


def counts():
    return torch.poisson(_centres() + 1)


# {id: makes an exact model and data}
KINDS = {
    "gmm": lambda: (vi.GMM((D,), 3, vi.Full()), reals()),
    "gmm_prior": lambda: (vi.GMM((D,), 3, vi.Diagonal(prior_count=2.0)), reals()),
    "ppca": lambda: (vi.PPCA((D,), 2), reals()),
    "factor_analysis": lambda: (vi.FactorAnalysis((D,), 1), factors()),
    "bernoulli_mixture": lambda: (vi.BernoulliMixture((D,), 3), bits()),
    "poisson_mixture": lambda: (vi.PoissonMixture((D,), 3), counts()),
}
MIXTURES = [name for name in KINDS if name not in ("ppca", "factor_analysis")]


def start(kind):
    """A model at its start, and data; at a poor one, else nothing is left to do."""
    model, x = KINDS[kind]()
    model.restarts = 1
    model.initialize(x)
    if isinstance(model, LinearGaussian):
        with torch.no_grad():
            model.weight.normal_(std=0.1)
            model.log_scale.copy_(model.noise_variance(x.var(0)).log() / 2)
    return model, x


def epoch(scheme, model, x, size=N, skip=0):
    """One epoch of batches in order; the estimates of its batches."""
    rows = torch.arange(len(x)).split(size)
    seen = [Batch(x[i], {}, i) for i in rows]
    steps = [scheme.step(Context(model, vi.ELBO()), b) for b in seen[skip:]]
    scheme.end_epoch(vi.ELBO(), model, seen[0])
    return steps


def theta(model):
    return [p.detach().clone() for p in model.state_dict().values()]


def furthest(one, other):
    """The largest difference of parameters, relative where they are large."""
    pairs = zip(theta(one), theta(other), strict=True)
    return max(float(((a - b) / (1 + b.abs())).abs().max()) for a, b in pairs)


def objective(model, x):
    """log p(x | theta) + log p(theta), in nats."""
    return float((model.log_evidence(x).sum() + model.log_prior()).detach())


def centres_of(model):
    return model.component_means().detach()


# Exact EM


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_of_exact_em_is_one_iteration(kind):
    """One batch: m_step(e_step(x)), and the reduction, bit for bit. Batches of 7: at most 1e-12.

    Caught: statistics that go on from the last epoch.
    """
    (model, x), scheme = start(kind), vi.ExactEM()
    by_hand, cut, cut_scheme = copy.deepcopy(model), copy.deepcopy(model), vi.ExactEM()
    for _ in range(4):
        epoch(scheme, model, x)
        epoch(cut_scheme, cut, x, size=7)
        statistics = by_hand.e_step(x)
        by_hand.m_step(statistics)
        by_hand.reduce(statistics)
        assert furthest(model, by_hand) == 0
        assert furthest(cut, by_hand) <= 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_exact_em_never_lowers_its_objective(kind):
    """log p(x) + log p(theta), computed separately, never drops by more than 1e-9 relative.

    100 iterations.

    Caught: the objective watched without the prior, which raised a false alarm for gmm_prior.
    """
    (model, x), scheme = start(kind), vi.ExactEM(tolerance=0.0)
    values = [objective(model, x)]
    for _ in range(100):
        epoch(scheme, model, x)
        values.append(objective(model, x))
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))
    assert values[-1] > values[0]
    assert not scheme.converged


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_step_reports_the_evidence_of_its_batch(kind):
    """elbo = reconstruction - kl = the mean log p(x) of the batch, (B,): at most 1e-10.

    Caught: the sum over the batch in place of its mean.
    """
    (model, x), scheme = start(kind), vi.ExactEM()
    before = model.log_evidence(x)
    for estimate, rows in zip(epoch(scheme, model, x, 25), before.split(25), strict=True):
        assert estimate.value.shape == rows.shape
        assert (estimate.value - rows.mean()).abs().max() <= 1e-10
        terms = estimate.terms
        assert (terms["reconstruction"] - terms["kl"] - rows.mean()).abs().max() <= 1e-10
        assert (terms["kl"] >= 0).all()


def test_exact_em_ends_when_an_iteration_wins_too_little():
    """At the first iteration whose E-step stands less than the tolerance above the last one's.

    Caught: the sum over data compared with a tolerance per datum; the first iteration, which has
    nothing before it.
    """
    (model, x), scheme = start("ppca"), vi.ExactEM(tolerance=1e-3)
    values = []
    while not scheme.converged:
        values.append(objective(model, x) / N)
        epoch(scheme, model, x)
    assert len(values) > 3
    wins = [b - a for a, b in pairwise(values)]
    assert wins[-1] < 1e-3 <= min(wins[:-1])


# Hard EM


def test_hard_em_of_kmeans_is_lloyds_algorithm():
    """Centres of 8 iterations from bad starts, each written by hand: at most 1e-12.

    Caught: soft responsibilities.
    """
    x = torch.randn(N, D)
    covariance = vi.Spherical(tied=True)
    model = vi.GMM((D,), 3, covariance, vi.RandomData(), learn_weights=False)
    model.initialize(x)
    with torch.no_grad():
        model.loc.copy_(x[:3])
    scheme, centres, moves = vi.HardEM(), centres_of(model).clone(), 0
    for _ in range(8):
        nearest = torch.cdist(x, centres).argmin(1)
        means = torch.stack([x[nearest == c].mean(0) for c in range(3)])
        moves += not torch.equal(means, centres)
        centres = means
        epoch(scheme, model, x, size=7)
        assert (centres_of(model) - centres).abs().max() <= 1e-12
    assert moves > 3


@pytest.mark.parametrize("kind", MIXTURES)
def test_hard_em_never_lowers_the_classification_likelihood(kind):
    """sum_n max_z log p(x_n, z) + log p(theta), computed separately, over 30 iterations.

    Caught: soft responsibilities.
    """
    (model, x), scheme = start(kind), vi.HardEM(tolerance=0.0)
    values = []
    for _ in range(30):
        best = model.log_joint_table(x).amax(1).sum()
        values.append(float((best + model.log_prior()).detach()))
        steps = epoch(scheme, model, x)
        assert float(steps[0].value.sum()) == pytest.approx(float(best.detach()), rel=1e-10)
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))


# Incremental EM


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_incremental_em_never_lowers_the_free_energy(kind):
    """sum over batches of F(q_b, theta) + log p(theta), after every step of 15 epochs.

    q_b is the posterior at the theta of the batch's last visit, and F is computed anew from the
    statistics of each batch. Caught: the new part of a batch added without its old one subtracted.
    """
    (model, x), scheme = start(kind), vi.IncrementalEM(tolerance=0.0)
    seen = [Batch(x[i], {}, i) for i in torch.arange(N).split(13)]
    kept, values = [None] * len(seen), []
    for _ in range(15):
        for b, batch in enumerate(seen):
            kept[b] = model.e_step(batch.x)
            scheme.step(Context(model, vi.ELBO()), batch)
            if None not in kept:
                energies = [float(model.free_energy(part)) for part in kept]
                values.append(math.fsum(energies) + float(model.log_prior()))
        scheme.end_epoch(vi.ELBO(), model, seen[0])
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))
    assert scheme.monitor.objective == pytest.approx(values[-1], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_incremental_em_ends_where_exact_em_does(kind):
    """Both to a win below 1e-10: the objectives differ by at most 1e-6 nats per datum."""
    model, x = start(kind)
    ends = []
    for scheme, size in ((vi.ExactEM(1e-10), N), (vi.IncrementalEM(1e-10), 13)):
        trained = copy.deepcopy(model)
        for _ in range(2000):
            epoch(scheme, trained, x, size)
            if scheme.converged:
                break
        assert scheme.converged
        ends.append(objective(trained, x) / N)
    assert ends[1] == pytest.approx(ends[0], abs=1e-6)


# Stochastic EM


@pytest.mark.parametrize("kind", ["gmm", "ppca"])
def test_the_draw_of_stochastic_em_has_the_posterior(kind):
    """5 000 draws of the z of one datum, seed 0: mean and second moments, max |t| <= 5.

    About ten numbers: chance fails 1 in 150 000. Caught: the mode in place of a draw.
    """
    model, x = start(kind)
    if kind == "gmm":  # a datum between two clusters
        line = torch.lerp(x[:1], x[1:2], torch.linspace(0, 1, 10_001)[:, None])
        x = line[model.posterior(line).mean.amax(1).argmin()][None]
    q = model.posterior(x[:1])
    z = vi.StochasticEM().complete(model.posterior(x[:1].expand(5000, -1))).mean.detach()
    error = z - q.mean.detach()
    moments = [error]
    if kind == "ppca":
        moments.append(
            (error[:, :, None] * error[:, None] - q.covariance_matrix.detach()).flatten(1)
        )
    error = torch.cat(moments, dim=1)
    varies = error.std(0) > 0
    assert varies.sum() >= 2
    assert (error.mean(0) / standard_error(error))[varies].abs().max() <= 5
    if kind == "gmm":
        assert set(z.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_stochastic_em_may_fall_and_goes_on(kind):
    """30 iterations: nothing is raised, nothing converges, and for mixtures F did fall.

    Caught: the draw watched as if it were the posterior.
    """
    (model, x), scheme = start(kind), vi.StochasticEM()
    values = []
    for _ in range(30):
        epoch(scheme, model, x)
        values.append(objective(model, x))
        assert not scheme.converged
    assert all(math.isfinite(v) for v in values)
    assert any(b < a for a, b in pairwise(values)) or kind in MIXTURES


# States


@pytest.mark.parametrize("make", [vi.ExactEM, vi.HardEM, vi.IncrementalEM, vi.StochasticEM])
@pytest.mark.parametrize("cut", [2, 7])
def test_an_exact_scheme_goes_on_from_its_state(make, cut):
    """Cut within the first or the second epoch of five batches: bit for bit afterwards.

    Caught: the sums of a cut epoch forgotten; the position among the parts forgotten.
    """
    model, x = start("gmm")
    seen = [Batch(x[i], {}, i) for i in torch.arange(N).split(13)]

    def go(scheme, model, steps):
        for step in steps:
            torch.manual_seed(step)
            scheme.step(Context(model, vi.ELBO()), seen[step % 5])
            if step % 5 == 4:
                scheme.end_epoch(vi.ELBO(), model, seen[0])

    scheme = make()
    go(scheme, model, range(cut))
    again, resumed = copy.deepcopy(model), make()
    resumed.load_state_dict(copy.deepcopy(scheme.state_dict()))
    go(scheme, model, range(cut, 20))
    go(resumed, again, range(cut, 20))
    assert furthest(again, model) == 0
    assert resumed.state_dict().keys() == scheme.state_dict().keys()
    assert resumed.monitor.state_dict() == scheme.monitor.state_dict()


# The account


class _Broken(vi.PPCA):
    """Whose third M-step goes too far."""

    factor, m_steps = 3.0, 0

    def m_step(self, statistics):
        super().m_step(statistics)
        self.m_steps += 1
        if self.m_steps == 3:
            with torch.no_grad():
                self.weight *= self.factor


@pytest.mark.parametrize("make", [vi.ExactEM, vi.IncrementalEM])
@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (3.0, r"fell from -\d+\.\d+ to -\d+\.\d+ nats per datum in M-step 3"),
        (math.nan, "the objective became nan in M-step 3"),
    ],
    ids=["fall", "nan"],
)
def test_a_broken_m_step_ends_the_run(make, factor, message):
    """Exit 5, with the half step. Caught: half steps counted as whole ones; NaN sought by ==."""
    model, x = _Broken((D,), 2), reals()
    model.factor = factor
    model.initialize(x)
    scheme = make()
    epoch(scheme, model, x)
    epoch(scheme, model, x)
    with pytest.raises(vi.NumericsError, match=message) as caught:
        epoch(scheme, model, x)
    assert caught.value.exit_code == 5
    assert caught.value.hint


def test_changed_data_are_noticed():
    """The E-step of another data set lowers the objective: exit 5 and a hint at the data.

    Caught: only M-steps watched.
    """
    (model, x), scheme = start("ppca"), vi.ExactEM()
    epoch(scheme, model, x)
    with pytest.raises(vi.NumericsError, match="in E-step 2") as caught:
        epoch(scheme, model, x + 5)
    assert "data and batches must be the same" in caught.value.hint


def test_a_fall_by_rounding_is_none():
    """Up to 1e-9 of the objective. Caught: an absolute bar."""
    for scale in (1.0, 1e6):
        account = ObjectiveMonitor()
        account.objective = -scale
        account._watch("e", -scale * (1 + 0.9e-9), 1.0)
        with pytest.raises(vi.NumericsError, match="fell"):
            account._watch("e", -scale * (1 + 2e-9), 1.0)


# What cannot be


@pytest.mark.parametrize("make", [vi.ExactEM, vi.HardEM, vi.IncrementalEM, vi.StochasticEM])
def test_a_model_without_an_exact_e_step_is_refused(make, small_vae):
    with pytest.raises(vi.ConfigurationError, match="VAE has no exact E-step") as caught:
        make().configure(small_vae(), vi.ELBO())
    assert caught.value.exit_code == 2
    assert "scheme=joint" in caught.value.hint
    assert make().configure(vi.GMM((D,), 3, vi.Full()), vi.ELBO()) == ([], [])


def test_hard_em_needs_a_discrete_z():
    with pytest.raises(vi.ConfigurationError, match="PPCA has a continuous z") as caught:
        vi.HardEM().configure(vi.PPCA((D,), 2), vi.ELBO())
    assert caught.value.exit_code == 2
    assert "scheme=exact_em" in caught.value.hint


@pytest.mark.parametrize("make", [vi.ExactEM, vi.HardEM, vi.IncrementalEM])
def test_a_negative_tolerance_is_refused(make):
    with pytest.raises(vi.ConfigurationError, match="must not be negative, got -0.1") as caught:
        make(tolerance=-0.1)
    assert caught.value.exit_code == 2

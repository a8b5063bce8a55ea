"""PPCA and factor analysis: exact models, their EM, and an encoder in place of their posterior."""

import copy
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

import vi
from tests.laws.conftest import POSTERIORS
from tests.support.inference import amortized, q_at, said
from tests.support.oracles import FixedNoiseHead, SigmaPoints, sigma_noise, tipping_bishop
from vi.distributions.delta import Delta
from vi.models.linear_gaussian import LinearGaussian

N, D, Z = 50, 8, 3
MODELS = {"ppca": vi.PPCA, "factor_analysis": vi.FactorAnalysis}
GAUSSIANS = {k: v for k, v in POSTERIORS.items() if k.endswith("_gaussian")}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make_model(request):
    """Makes a model of either kind with parameters at random."""

    def make(data_dim: int = D, latent_dim: int = Z, **options) -> LinearGaussian:
        model = request.param((data_dim,), latent_dim, **options)
        with torch.no_grad():
            model.weight.normal_()
            model.loc.normal_()
            model.log_scale.normal_(-0.3, 0.3)
        return model

    return make


@pytest.fixture(params=GAUSSIANS.values(), ids=GAUSSIANS)
def make_gaussian(request):
    """Makes a posterior of the family that holds the exact one, or of a part of it."""
    return request.param


def _psi(model: LinearGaussian) -> torch.Tensor:
    return (2 * model.log_scale).exp().expand(len(model.loc))


def _random_q(num_data: int = N) -> SigmaPoints:
    """A full-covariance q of every datum that has nothing to do with the posterior."""
    tril = torch.randn(num_data, Z, Z).tril(-1) + (torch.rand(num_data, Z) + 0.2).diag_embed()
    return SigmaPoints(torch.randn(num_data, Z), scale_tril=tril)


def _answer_with(model, q) -> None:
    """Let the model infer this q; past nn.Module.__setattr__."""
    object.__setattr__(model, "posterior", lambda x, **given: q)


def _factor_data(n: int, mean: float = 0.0) -> torch.Tensor:
    """Three factors of different strength, noise of different strength in each entry."""
    weight = torch.linalg.qr(torch.randn(D, Z))[0] * torch.tensor([3.0, 2.0, 1.2])
    noise = torch.randn(n, D) * torch.linspace(0.4, 1.2, D)
    return torch.randn(n, Z) @ weight.mT + noise + torch.randn(D) + mean


@torch.no_grad()
def _em(model: LinearGaussian, x: torch.Tensor, steps: int) -> list[float]:
    """Exact EM; log p(x) before each step and after the last, as a mean over the data."""
    values = [model.log_evidence(x).mean().item()]
    for _ in range(steps):
        model.m_step(model.e_step(x))
        values.append(model.log_evidence(x).mean().item())
    return values


# The model


def test_log_evidence_is_that_of_a_dense_gaussian(make_model):
    """log N(x; mu, W W' + Psi): at most 1e-10. Caught: Psi^-1/2 in place of Psi^-1 in M."""
    model, x = make_model(), 3 * torch.randn(N, D)
    covariance = model.weight @ model.weight.mT + _psi(model).diag()
    dense = MultivariateNormal(model.loc, covariance)
    assert model.log_evidence(x).shape == (N,)
    assert (model.log_evidence(x) - dense.log_prob(x)).abs().max() <= 1e-10


def test_posterior_is_the_conditional_of_the_joint_gaussian(make_model):
    """By conditioning the dense Gaussian of (x, z): at most 1e-10. Caught: mu not taken off x."""
    model, x = make_model(), torch.randn(N, D)
    gain = torch.linalg.solve(model.weight @ model.weight.mT + _psi(model).diag(), model.weight).mT
    q = model.posterior(x)
    assert (q.mean - (x - model.loc) @ gain.mT).abs().max() <= 1e-10
    expected = torch.eye(Z) - gain @ model.weight
    assert q.covariance_matrix.shape == q.scale_tril.shape == (N, Z, Z)
    assert (q.covariance_matrix - expected).abs().max() <= 1e-10


def test_evidence_is_elbo_plus_gap(make_model, make_elbo):
    """N1, over sigma points: at most 1e-10.

    Caught: mu not taken off x, Psi^-1/2 in place of Psi^-1 in M, a KL without its Z.
    """
    model, q = make_model(), _random_q()
    x = model.sample(N)
    gap = kl_divergence(MultivariateNormal(q.loc, scale_tril=q.scale_tril), model.posterior(x))
    evidence = model.log_evidence(x)
    _answer_with(model, q)
    elbo = make_elbo(num_samples=2 * Z)(model, x).value
    assert gap.min() > 0.1
    assert (evidence - elbo - gap).abs().max() <= 1e-10


@pytest.mark.parametrize("num_samples", [1, 7])
def test_log_weights_of_the_exact_posterior_are_the_evidence(
    make_model, make_log_weight_bound, num_samples
):
    """N2: pointwise, with the real generator: at most 1e-10.

    Caught: a covariance twice too wide.
    """
    model = make_model()
    x = model.sample(N)
    value = make_log_weight_bound(num_samples=num_samples)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


def test_closed_forms_of_the_exact_posterior_are_the_evidence(make_model, make_elbo):
    """N2 in expectation, over sigma points: at most 1e-10."""
    model = make_model()
    x = model.sample(N)
    exact = model.posterior(x)
    _answer_with(model, SigmaPoints(exact.loc, scale_tril=exact.scale_tril))
    value = make_elbo(num_samples=2 * Z)(model, x).value
    oracle = exact.log_prob(exact.mean)
    assert (value - model.log_joint(x, exact.mean) + oracle).abs().max() <= 1e-10


def test_single_precision_comes_in_and_double_goes_out(make_model):
    """x and z as float32, at most 1e-12 from the same numbers as float64."""
    model, x, z = make_model(), torch.randn(N, D).float(), torch.randn(4, N, Z).float()
    for single, double in (
        (model.log_evidence(x), model.log_evidence(x.double())),
        (model.log_joint(x, z), model.log_joint(x.double(), z.double())),
        (model.e_step(x)["xz"], model.e_step(x.double())["xz"]),
    ):
        assert single.dtype == torch.float64
        assert (single - double).abs().max() <= 1e-12


def test_images_of_784_pixels_cost_no_square_matrix(make_model):
    """D = 784: nothing of D x D numbers is made. Caught: the dense evidence."""
    model, x = make_model(784, 20), torch.randn(2, 784)
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.append(out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    with Watch(), torch.no_grad():
        model.log_evidence(x)
        model.energy(model.e_step(x))
    assert max(made) < 784**2 / 4


# EM


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
    model, x, q = make_model(), torch.randn(N, D), _random_q()
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
    model, x = make_model(), _factor_data(N)
    statistics = model.statistics(x, _random_q())
    model.m_step(statistics)
    gradients = torch.autograd.grad(model.energy(statistics) / N, list(model.parameters()))
    assert max(g.abs().max() for g in gradients) <= 1e-8


def test_m_step_is_above_its_neighbours(make_model):
    """200 perturbations of every parameter at once, of 1e-3 to 1: all of them lower."""
    model, x = make_model(), _factor_data(N)
    statistics = model.statistics(x, _random_q())
    with torch.no_grad():
        model.m_step(statistics)
        best, top = model.energy(statistics), [p.clone() for p in model.parameters()]
        for size in torch.logspace(-3, 0, 200):
            for p, at in zip(model.parameters(), top, strict=True):
                p.copy_(at + size * torch.randn_like(p))
            assert model.energy(statistics) < best


def test_m_step_of_points_is_least_squares(make_model):
    """Hard z: W and mu are those of torch.linalg.lstsq: at most 1e-10."""
    model, x, z = make_model(), _factor_data(N), torch.randn(N, Z)
    model.m_step(model.statistics(x, Delta(z)))
    theta = torch.linalg.lstsq(torch.cat([z, torch.ones(N, 1)], -1), x).solution.mT
    assert (model.weight - theta[:, :-1]).abs().max() <= 1e-10
    assert (model.loc - theta[:, -1]).abs().max() <= 1e-10


def test_a_far_away_mean_costs_no_digits(make_model):
    """Data of variance 1 around 1e6: the same Psi as around 0, at most 1e-8.

    Caught: statistics counted from 0 in place of the mean.
    """
    near, far = (make_model() for _ in range(2))
    x = _factor_data(N)
    x = (x * 2**20).round() / 2**20  # so that the shift itself is exact
    for model, data in ((near, x), (far, x + 1e6)):
        torch.manual_seed(1)
        model.initialize(data)
        _em(model, data, 20)
    assert (near.log_scale - far.log_scale).abs().max() <= 1e-8


def test_em_never_falls(make_model):
    """N11: 200 iterations from anywhere, each drop at most 1e-9 relative; and it rises."""
    model, x = make_model(), _factor_data(N)
    values = _em(model, x, 200)
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    assert values[-1] - values[0] > 0.5


def test_ppca_ends_at_tipping_and_bishop():
    """N11: 500 iterations, at most 1e-7 relative (measured 2e-15)."""
    model, x = vi.PPCA((D,), Z), _factor_data(200)
    model.initialize(x)
    assert _em(model, x, 500)[-1] == pytest.approx(tipping_bishop(x, Z).item(), rel=1e-7)


def test_factor_analysis_ends_where_that_of_scikit_learn_does():
    """500 iterations: at most 1e-4 nats/datum apart (measured 1e-14). Caught: Psi of one size."""
    from sklearn.decomposition import FactorAnalysis

    model, x = vi.FactorAnalysis((D,), Z), _factor_data(500)
    model.initialize(x)
    reference = FactorAnalysis(Z, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert abs(_em(model, x, 500)[-1] - reference.score(x.numpy())) <= 1e-4


def test_a_floor_is_the_constrained_maximum():
    """Floors of 0.3 of the variance: an entry is stationary, or it is at the floor and would fall.

    EM under this constraint does not fall either. Caught: the floor added to Psi.
    """
    model, x = vi.FactorAnalysis((D,), Z, floor=0.3), _factor_data(200)
    model.initialize(x)
    values = _em(model, x, 200)
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    with torch.no_grad():
        statistics = model.e_step(x)
    model.m_step(statistics)
    slope = torch.autograd.grad(model.energy(statistics) / 200, model.log_scale)[0]
    at_floor = (_psi(model) / model.least_variance - 1).abs() <= 1e-12
    assert 0 < at_floor.sum() < D
    assert (slope[at_floor] < 0).all()
    assert slope[~at_floor].abs().max() <= 1e-8


def test_a_floor_holds_a_heywood_case_and_a_constant_entry():
    """An entry that is a factor itself, and one that is always 0.1: finite, and still rising."""
    x = _factor_data(200)
    x[:, 0], x[:, 1] = x[:, 2] + x[:, 3], 0.1
    model = vi.FactorAnalysis((D,), Z)
    model.initialize(x)
    values = _em(model, x, 200)
    assert math.isfinite(values[-1])
    assert all(after - before >= -1e-9 * abs(before) for before, after in pairwise(values))
    assert (_psi(model) >= model.least_variance * (1 - 1e-12)).all()
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


# An encoder in place of the posterior


def _sigma_amortized(model: LinearGaussian) -> LinearGaussian:
    """With a diagonal q whose draws are sigma points."""
    return amortized(model, vi.MLP([5], torch.nn.Tanh()), FixedNoiseHead(Z, sigma_noise(Z)))


def _set_exactly(model: LinearGaussian, tail: torch.Tensor) -> None:
    """Make a linear encoder give the exact posterior's mean, and the same tail for every x."""
    (layer,) = model.inference.encoder.layers
    with torch.no_grad():
        unit, zero = (
            model.exact_posterior(rows).mean for rows in (torch.eye(D), torch.zeros(1, D))
        )
        gain = unit - zero
        layer.weight.copy_(torch.cat([gain.mT, torch.zeros(len(tail), D)]))
        layer.bias.copy_(torch.cat([-model.loc @ gain, tail]))


def _precision(model: LinearGaussian) -> torch.Tensor:
    return torch.eye(Z) + (model.weight.mT / _psi(model)) @ model.weight


def test_gap_of_an_encoder_is_what_the_elbo_lacks(make_model, make_elbo):
    """log p(x) - ELBO = gap(x), over sigma points: at most 1e-10. Caught: KL(p || q)."""
    model, x = _sigma_amortized(make_model()), torch.randn(N, D)
    elbo = make_elbo(num_samples=2 * Z)(model, x).value
    assert model.gap(x).min() > 0.1
    assert (model.log_evidence(x) - elbo - model.gap(x)).abs().max() <= 1e-10


def test_best_diagonal_q_has_the_gap_of_the_correlations(make_model):
    """With variances 1 / M_dd the gap is (sum log M_dd - log |M|) / 2 for every x: at most 1e-10.

    No other diagonal q is better: 100 perturbations. Caught: variances (M^-1)_dd.
    """
    model = amortized(make_model(), vi.MLP([]), vi.DiagonalGaussian(Z))
    precision, x = _precision(model), torch.randn(N, D)
    _set_exactly(model, -precision.diagonal().log() / 2)
    best = (precision.diagonal().log().sum() - precision.logdet()) / 2
    assert best > 0.01
    assert (model.gap(x) - best).abs().max() <= 1e-10
    parameters = said(model, x)
    for size in torch.logspace(-3, 0, 100):
        other = q_at(model, parameters + size * torch.randn_like(parameters))
        worse = vi.distributions.kl.closed_form_kl(other, model.exact_posterior(x))
        assert (worse > best).all()


class SigmaFullGaussian(vi.FullGaussian):
    """With draws that are sigma points."""

    def forward(self, params):
        q = super().forward(params)
        return SigmaPoints(q.loc, scale_tril=q.scale_tril)


@pytest.mark.parametrize("full", [False, True], ids=["diagonal", "full"])
def test_a_trained_linear_encoder_ends_at_the_best_gap_of_its_family(make_model, full):
    """By LBFGS on vi.ELBO over sigma points, theta held: at most 1e-3 nats, full q 0.

    Measured 1e-8 or less. Caught: the last row of L not read.
    """
    head = SigmaFullGaussian(Z) if full else FixedNoiseHead(Z, sigma_noise(Z))
    model = amortized(make_model(), vi.MLP([]), head)
    x, bound = model.sample(N), vi.ELBO(2 * Z)
    precision = _precision(model).detach()
    best = 0.0 if full else (precision.diagonal().log().sum() - precision.logdet()).item() / 2
    optimizer = torch.optim.LBFGS(
        model.inference.own_parameters(), max_iter=1000, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        loss = -bound(model, x).surrogate.mean()
        loss.backward()
        return loss

    assert model.gap(x).mean() > best + 0.1
    optimizer.step(loss)
    assert -1e-9 <= model.gap(x).mean() - best <= 1e-3


def test_full_q_of_a_linear_encoder_leaves_no_gap(make_model, make_log_weight_bound):
    """Set to the exact posterior: the gap at most 1e-10, and log-weights that are constant."""
    model, x = amortized(make_model(), vi.MLP([]), vi.FullGaussian(Z)), torch.randn(N, D)
    tril = model.exact_posterior(x).scale_tril[0].detach()
    rows, columns = torch.tril_indices(Z, Z, -1)
    unit = tril / tril.diagonal()[:, None]
    below = len(rows) * unit[rows, columns]
    _set_exactly(model, torch.cat([tril.diagonal().log(), below]))
    assert model.gap(x).abs().max() <= 1e-10
    value = make_log_weight_bound(num_samples=3)(model, x).value
    assert (value - model.log_evidence(x)).abs().max() <= 1e-10


def test_an_amortized_model_is_the_exact_one_but_for_q(make_model):
    """Prior, likelihood, log-joint, evidence and samples; parameters fall into two groups."""
    exact, x, z = make_model(), torch.randn(N, D), torch.randn(4, N, Z)
    model = amortized(copy.deepcopy(exact), vi.MLP([5]), vi.DiagonalGaussian(Z))
    assert torch.equal(model.log_joint(x, z), exact.log_joint(x, z))
    assert torch.equal(model.log_evidence(x), exact.log_evidence(x))
    assert torch.equal(model.likelihood(z).mean, exact.likelihood(z).mean)
    assert torch.equal(model.prior().log_prob(z), exact.prior().log_prob(z))
    assert model.sample(7).shape == (7, D)
    theta = sum(p.numel() for p in exact.parameters())
    assert sum(p.numel() for p in model.generative_parameters()) == theta
    assert len(model.inference.own_parameters()) == 4
    assert exact.inference.own_parameters() == []
    model.initialize(x + 5)
    assert (model.loc - x.mean(0) - 5).abs().max() <= 1e-12


def test_every_bound_trains_an_amortized_model(make_bound, make_model, make_gaussian):
    """Values (50,) in double precision, a gradient for every parameter; encoders in single.

    Caught: q left in the precision of the encoder.
    """
    torch.set_default_dtype(torch.float32)
    model = amortized(make_model(), vi.MLP([5], torch.nn.Tanh()), make_gaussian(Z))
    x = torch.randn(N, D)
    estimate = make_bound(num_samples=3)(model, x)
    estimate.surrogate.mean().backward()
    assert (estimate.value.shape, estimate.value.dtype) == ((N,), torch.float64)
    assert said(model, x).dtype == torch.float32
    assert model.posterior(x).mean.dtype == model.gap(x).dtype == torch.float64
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


# Files and refusals


@pytest.mark.parametrize("encoder", [False, True])
def test_saved_and_loaded(make_model, make_gaussian, tmp_path, encoder):
    """The same bits, evidence and q, but for rounding; the floor and the origin travel along."""
    model, x = make_model(), torch.randn(N, D)
    model.initialize(x)
    model = amortized(model, vi.MLP([5]), make_gaussian(Z)) if encoder else model
    again = vi.load(vi.save(model, tmp_path))
    assert type(again) is type(model)
    close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)
    close(again.log_evidence(x), model.log_evidence(x))
    close(again.posterior(x).mean, model.posterior(x).mean)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


def test_loading_keeps_the_precision_of_encoder_and_model(make_model, tmp_path):
    """An encoder in single, the model within in double: both as they were, bit for bit."""
    torch.set_default_dtype(torch.float32)
    model = amortized(make_model(), vi.MLP([5]), vi.FullGaussian(Z))
    again = vi.load(vi.save(model, tmp_path)).state_dict()
    assert {k: v.dtype for k, v in again.items()} == {
        k: v.dtype for k, v in model.state_dict().items()
    }


def test_an_option_gets_the_shape_of_the_data_wherever_it_stands(make_model):
    """Encoder and posterior come from their groups, by way of the inference."""
    from vi.cli.compose import composed
    from vi.config.build import build
    from vi.config.run import Run

    options = ["model=ppca", "inference=amortized", "posterior=full_gaussian"]
    options += ["latent_dim=3", "hidden=[5]"]
    plain = composed("train", options, Run)
    model = build("model", plain["model"], defaults={**plain, "data_shape": (1, 4, 4)})
    assert (type(model), model.data_shape) == (vi.PPCA, (16,))
    assert model.gap(torch.randn(2, 16)).shape == (2,)
    name = {vi.PPCA: "ppca", vi.FactorAnalysis: "factor_analysis"}[type(make_model())]
    plain = composed("train", [f"model={name}"], Run)
    exact = build("model", plain["model"], defaults={**plain, "data_shape": (1, 4, 4)})
    assert (type(exact), exact.data_shape) == (type(make_model()), (16,))


@pytest.mark.parametrize("latent_dim", [4, 5])
def test_refuses_as_many_factors_as_entries(make_model, latent_dim):
    with pytest.raises(vi.ConfigurationError, match=f"less than the 4 .* got {latent_dim}") as no:
        make_model(4, latent_dim)
    assert "latent_dim=3" in no.value.hint


def test_refuses_no_factors_and_no_floor():
    with pytest.raises(vi.ConfigurationError, match="latent_dim must be greater than 0"):
        vi.PPCA((4,), 0)
    with pytest.raises(vi.ConfigurationError, match="floor must be greater than 0"):
        vi.FactorAnalysis((4,), 2, floor=0.0)


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


def test_refuses_a_posterior_of_another_size(make_model):
    with pytest.raises(vi.ConfigurationError, match=r"latent shape \(2,\), prior has \(3,\)"):
        amortized(make_model(), vi.MLP([5]), vi.DiagonalGaussian(2))


def test_refuses_a_posterior_on_another_support(make_model):
    class Bits(vi.DiagonalGaussian):
        support = torch.distributions.constraints.boolean

    with pytest.raises(vi.ConfigurationError, match="lives on Boolean, prior Independent on Real"):
        amortized(make_model(), vi.MLP([5]), Bits(Z))

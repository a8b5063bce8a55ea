"""q of each datum: refined from an encoder's answer, or kept in a table."""

import copy
import io
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD

import vi
from tests.support.inference import amortized, at_lambda, climbing, climbing_elbo, q_at, said
from tests.support.oracles import SigmaPoints, fix_noise
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.data.base import Batch
from vi.distributions.flows.planar import PlanarFlow
from vi.distributions.kl import closed_form_kl
from vi.schemes.base import Context

B, D, Z, K = 4, 3, 1, 2


def recipe(option):
    return lambda **values: build("refinement", {**part("refinement", option), **values})


RECIPES = {option: recipe(option) for option in options("refinement")}


@pytest.fixture(params=RECIPES.values(), ids=RECIPES)
def make_refinement(request):
    return request.param


@pytest.fixture
def vae():
    """About 40 parameters under a tanh, and draws whose noise is given."""
    model = vi.VAE(
        data_shape=(D,),
        encoder=vi.MLP([3], nn.Tanh()),
        decoder=vi.MLP([3], nn.Tanh()),
        posterior=vi.DiagonalGaussian(Z),
        prior=vi.StandardNormal(Z),
        likelihood=vi.SharedScaleGaussian(scale=0.7),
    )
    return fix_noise(model, torch.randn(K, B, Z))


@pytest.fixture
def x():
    return 2 * torch.randn(B, D)


def flat(parameters):
    return nn.utils.parameters_to_vector(parameters).detach().clone()


def moved(scheme, bound, model, batch):
    """Minus the gradient that a step follows: SGD of rate 1."""
    model = copy.deepcopy(model)
    scheme.num_data = len(batch.x)
    before = flat(model.parameters())
    optimizers, _ = scheme.configure(model, bound)
    estimate = scheme.step(Context(model, bound, optimizers), batch)
    return flat(model.parameters()) - before, estimate


SGD1 = partial(SGD, lr=1.0)


# Refinement


def test_momentum_and_clipping_by_hand():
    """v <- m v + clip(g), lambda <- lambda + lr v on a paraboloid: at most 1e-14.

    Caught: the velocity clipped in place of the gradient; small gradients magnified.
    """
    centre = torch.randn(B, 2)
    refinement = vi.GradientAscent(lr=0.1, momentum=0.8, clip_norm=1.0)
    end = refinement.ascend(lambda at: 2 * (centre - at), torch.zeros(B, 2), 7)
    at, v = torch.zeros(B, 2), torch.zeros(B, 2)
    for _ in range(7):
        g = 2 * (centre - at)
        v = 0.8 * v + g * (1 / g.norm(dim=1, keepdim=True)).clamp(max=1)
        at = at + 0.1 * v
    assert (end - at).abs().max() <= 1e-14


def test_adam_ascent_is_adam():
    """Against torch.optim.Adam on a paraboloid: at most 1e-7, as epsilon stands elsewhere.

    Caught: no correction of the first steps; the two betas exchanged.
    """
    centre = torch.randn(B, 2)
    refinement = vi.AdamAscent(lr=0.1, betas=(0.5, 0.9))
    end = refinement.ascend(lambda at: 2 * (centre - at), torch.zeros(B, 2), 9)
    at = torch.zeros(B, 2, requires_grad=True)
    adam = torch.optim.Adam([at], lr=0.1, betas=(0.5, 0.9))
    for _ in range(9):
        adam.zero_grad()
        (centre - at).square().sum().backward()
        adam.step()
    assert (end - at).abs().max() <= 1e-7


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_one_datum_never_disturbs_another(make_refinement, vae, x, clip_norm):
    """Refined alone or in a batch, beside a datum whose gradient is huge: at most 1e-13.

    Caught: the mean over the batch in place of the sum.
    """
    x = torch.cat([x[:-1], 1000 * x[-1:]])
    clipped = "clip_norm" in make_refinement().arguments
    refinement = make_refinement(num_steps=5, **({"clip_norm": clip_norm} if clipped else {}))
    start = torch.randn(B, 2 * Z)
    together = refinement(climbing(vae, vi.ELBO(K), x), start)
    for n in range(B):
        alone = fix_noise(copy.deepcopy(vae), vae.inference.head.noise[:, n : n + 1])
        one = refinement(climbing(alone, vi.ELBO(K), x[n : n + 1]), start[n : n + 1])
        assert ((one - together[n]) / (1 + together[n].abs())).abs().max() <= 1e-13


def test_clipping_holds_the_norm_of_each_datum(vae, x):
    """One step of rate 1: the norm is the smaller of c and that of the gradient.

    Caught: small gradients magnified to c.
    """
    start, bound = torch.zeros(B, 2 * Z), vi.ELBO(K)
    step = lambda c: vi.GradientAscent(1, lr=1.0, clip_norm=c)(climbing(vae, bound, x), start)
    free = step(None).norm(dim=1)
    c = free.sort().values[1:3].mean().item()
    assert (step(c).norm(dim=1) - free.clamp(max=c)).abs().max() <= 1e-12


def test_refinement_is_cut_off_unless_it_is_to_be_differentiated(make_refinement, vae, x):
    """The same numbers either way; no gradient is left behind in any parameter.

    Caught: backward() in place of autograd.grad, which fills the gradients of theta.
    """
    refinement, bound = make_refinement(num_steps=3), vi.ELBO(K)
    start = said(vae, x)
    with torch.no_grad():
        cut = refinement(climbing(vae, bound, x), start)
    kept = refinement(climbing(vae, bound, x), start, differentiable=True)
    assert not cut.requires_grad
    assert kept.requires_grad
    assert torch.equal(cut, kept)
    assert all(p.grad is None for p in vae.parameters())
    longer = refinement(climbing(vae, bound, x), start, factor=3)
    assert torch.equal(longer, make_refinement(num_steps=9)(climbing(vae, bound, x), start))


class _SigmaFullGaussian(vi.FullGaussian):
    """With draws that are sigma points: every ELBO is exact where all is linear and Gaussian."""

    def forward(self, params):
        q = super().forward(params)
        return SigmaPoints(q.loc, scale_tril=q.scale_tril)


@pytest.fixture
def linear():
    """PPCA with an encoder and a full-covariance q."""
    exact = vi.PPCA((5,), 2)
    with torch.no_grad():
        exact.weight.normal_()
    return amortized(exact, vi.MLP([]), _SigmaFullGaussian(2))


def test_refinement_climbs_to_the_exact_posterior(linear):
    """Each of 20 data gains in each of 30 steps, and ends with KL(q || p(z|x)) <= 1e-10."""
    x, bound = linear.sample(20), vi.ELBO(4)
    at, gaps = said(linear, x).detach(), []
    exact = linear.exact_posterior(x)
    slow = vi.GradientAscent(num_steps=1, lr=0.02, momentum=0.0)
    for _ in range(31):
        gaps.append(closed_form_kl(q_at(linear, at), exact))
        at = slow(climbing(linear, bound, x), at)
    assert (torch.stack(gaps).diff(dim=0) < 0).all()
    fast = vi.GradientAscent(num_steps=400, lr=0.05, momentum=0.8)
    at = fast(climbing(linear, bound, x), at)
    assert closed_form_kl(q_at(linear, at), exact).max() <= 1e-10


def test_adam_stays_near_the_exact_posterior(linear):
    """However far it starts: 20 data, 300 steps, KL(q || p(z|x)) <= 1e-2 nats. Measured 1e-3.

    Caught: steps in proportion to the gradient.
    """
    x = 3 * linear.sample(20)
    refinement = vi.AdamAscent(num_steps=300, lr=0.05)
    at = refinement(climbing(linear, vi.ELBO(4), x), torch.zeros(20, 5))
    assert closed_form_kl(q_at(linear, at), linear.exact_posterior(x)).max() <= 1e-2


def test_a_refined_inference_refines_when_it_is_asked(make_refinement, vae, x):
    """From the encoder's answer, or from lambda = 0; also where gradients are switched off.

    What it climbs is the ELBO of one draw. Caught: a start at 0 for both; the factor left out.
    """
    refinement, start = make_refinement(), said(vae, x)
    for kind, origin in ((vi.Refined, start), (vi.PerDatum, 0 * start)):
        model = vae.with_inference(kind(vae.inference, refinement, factor=2))
        expected = refinement(climbing_elbo(vae, x), origin, factor=2)
        with torch.no_grad():
            assert torch.equal(said(model, x), expected)
            assert torch.equal(model.posterior(x).mean, q_at(vae, expected).mean)
            assert torch.equal(model.inference.first(model, x).mean, vae.posterior(x).mean)
        assert model.inference.own_parameters() == vae.inference.own_parameters()
        assert model.generative_parameters() == vae.generative_parameters()


# Semi-amortised


@pytest.mark.parametrize(
    "refinement",
    [
        vi.GradientAscent(3, lr=0.1, momentum=0.5),
        vi.GradientAscent(3, lr=0.1, momentum=0.5, clip_norm=1.0),
        vi.AdamAscent(3, lr=0.1),
    ],
    ids=["plain", "clipped", "adam"],
)
@pytest.mark.parametrize("make", [vi.ELBO, vi.IWAE])
def test_the_gradient_goes_through_every_step(vae, x, make, refinement):
    """Gradients of encoder and decoder agree with central differences at lambda_T: 1e-7.

    The noise is fixed. In eight directions, each of which moves all parameters; lambda climbs the
    ELBO for every bound.

    Caught: the bound climbed by lambda; a detached lambda_0; a detached velocity; first
    derivatives without a graph.
    """
    bound = make(K)
    step, estimate = moved(vi.SemiAmortised(refinement, optimizer=SGD1), bound, vae, Batch(x, {}))

    def objective(theta):
        nn.utils.vector_to_parameters(theta, vae.parameters())
        end = refinement(climbing_elbo(vae, x), said(vae, x))
        with torch.no_grad():
            return bound(at_lambda(vae, end), x).value

    at, h = flat(vae.parameters()), 3e-6
    assert (objective(at) - estimate.value).abs().max() <= 1e-12
    directions = torch.randn(8, len(at))
    differences = [
        ((objective(at + h * d) - objective(at - h * d)).mean() / (2 * h)).item()
        for d in directions
    ]
    assert step.abs().max() > 0.1
    assert (directions @ step - torch.tensor(differences)).abs().max() <= 1e-7


def test_without_through_theta_climbs_at_the_end_and_phi_at_the_start(make_refinement, vae, x):
    """Both gradients by hand: at most 1e-14.

    Caught: theta climbing at both; phi climbing at lambda_T.
    """
    refinement, bound = make_refinement(num_steps=3), vi.ELBO(K)
    scheme = vi.SemiAmortised(refinement, through=False, optimizer=SGD1)
    step, estimate = moved(scheme, bound, vae, Batch(x, {}))
    start = said(vae, x)
    at_end = bound(at_lambda(vae, refinement(climbing_elbo(vae, x), start)), x).value
    at_start = bound(at_lambda(vae, start), x).value
    phi = torch.autograd.grad(at_start.mean(), vae.inference.own_parameters(), retain_graph=True)
    theta = torch.autograd.grad(at_end.mean(), vae.generative_parameters())
    expected = torch.cat([g.flatten() for g in (*phi, *theta)])
    order = [*vae.inference.own_parameters(), *vae.generative_parameters()]
    assert [id(p) for p in order] == [id(p) for p in vae.parameters()]
    assert torch.equal(estimate.value, at_end)
    assert (step - expected).abs().max() <= 1e-14


def test_evaluation_refines_as_training_does(make_refinement, vae, x):
    """Caught: the encoder's own q evaluated."""
    refinement, bound = make_refinement(num_steps=3), vi.ELBO(K)
    scheme = vi.SemiAmortised(refinement)
    optimizers, _ = scheme.configure(vae, bound)
    evaluated = bound(scheme.inference(vae, bound), x).value
    assert torch.equal(scheme.step(Context(vae, bound, optimizers), Batch(x, {})).value, evaluated)
    assert not torch.equal(evaluated, bound(vae, x).value)


# SVI


@pytest.fixture
def svi(make_refinement, vae):
    """(scheme, bound, step): step(rows, x) trains on these rows and returns its estimate."""
    scheme, bound = vi.SVI(make_refinement(num_steps=2), fit_factor=3, optimizer=SGD1), vi.ELBO(K)
    scheme.num_data = 10
    optimizers, _ = scheme.configure(vae, bound)

    def step(rows, x):
        seen = Batch(x[rows], {}, rows)
        return scheme.step(Context(vae, bound, optimizers), seen)

    return scheme, bound, step


def test_every_datum_keeps_its_lambda_and_goes_on_from_it(svi, vae):
    """Bit for bit, over two visits with another batch between them; other rows stay 0.

    Caught: rows addressed by their place in the batch; a visit that starts at 0 again.
    """
    (scheme, _, step), x = svi, torch.randn(10, D)
    rows, others = torch.tensor([7, 2, 0, 9]), torch.tensor([1, 2, 3, 4])
    expected = torch.zeros(10, 2 * Z)
    for visited in (rows, others, rows):
        end = scheme.refinement(climbing_elbo(vae, x[visited]), expected[visited])
        expected[visited] = end
        step(visited, x)
        assert torch.equal(scheme.table, expected)
    assert (scheme.table[[5, 6, 8]] == 0).all()
    assert (scheme.table[rows] != 0).all()


def test_theta_climbs_at_the_refined_lambda_and_phi_rests(svi, vae):
    """Caught: the bound at the lambda before the refinement."""
    (scheme, bound, step), x, rows = svi, torch.randn(10, D), torch.arange(B)
    before = flat(vae.inference.own_parameters()), flat(vae.generative_parameters())
    end = scheme.refinement(climbing_elbo(vae, x[rows]), torch.zeros(B, 2 * Z))
    value = bound(at_lambda(vae, end), x[rows]).value
    gradients = torch.autograd.grad(value.mean(), vae.generative_parameters())
    assert torch.equal(step(rows, x).value, value)
    assert torch.equal(flat(vae.inference.own_parameters()), before[0])
    theta = before[1] + torch.cat([g.flatten() for g in gradients])
    assert (flat(vae.generative_parameters()) - theta).abs().max() <= 1e-14


def test_training_data_have_their_q_and_unseen_data_get_one(svi, vae):
    """Unseen: fit_factor = 3 times the two steps, from lambda = 0.

    Caught: the encoder as the start.
    """
    (scheme, bound, step), x, rows = svi, torch.randn(10, D), torch.tensor([7, 2, 0, 9])
    step(rows, x)
    known = scheme.inference(vae, bound, rows).posterior(x[rows])
    assert torch.equal(known.mean, q_at(vae, scheme.table[rows]).mean)
    unseen = scheme.inference(vae, bound).posterior(x[:B])
    fitted = scheme.refinement(climbing_elbo(vae, x[:B]), torch.zeros(B, 2 * Z), factor=3)
    assert torch.equal(unseen.mean, q_at(vae, fitted).mean)


def test_the_table_survives_a_file(svi, vae):
    """Caught: a table begun again, of zeros."""
    (scheme, bound, step), x, rows = svi, torch.randn(10, D), torch.arange(B)
    step(rows, x)
    file = io.BytesIO()
    torch.save(scheme.state_dict(), file)
    file.seek(0)
    again = vi.SVI(scheme.refinement)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.table, scheme.table)
    q = again.inference(vae, bound, rows).posterior(x[rows])
    assert torch.equal(q.mean, q_at(vae, scheme.table[rows]).mean)


@pytest.mark.parametrize(
    "make",
    [
        lambda: vi.GradientAscent(num_steps=0),
        lambda: vi.GradientAscent(lr=-1.0),
        lambda: vi.GradientAscent(clip_norm=0.0),
        lambda: vi.AdamAscent(lr=0.0),
        lambda: vi.SVI(vi.GradientAscent(), fit_factor=0),
    ],
)
def test_numbers_that_cannot_be_are_refused(make):
    with pytest.raises(vi.ConfigurationError, match="must be greater than 0"):
        make()


def free(posterior, prior=None):
    """A VAE trained by SVI for some steps: (scheme, model, what its phi was before)."""
    torch.manual_seed(0)
    network = vi.MLP([4])
    model = vi.VAE(
        (D,), network, network, posterior, prior or vi.StandardNormal(2), vi.Bernoulli()
    )
    scheme, bound = vi.SVI(vi.GradientAscent(2), optimizer=SGD1), vi.LogWeightELBO(2)
    scheme.num_data, x = 10, torch.rand(10, D).round()
    optimizers, _ = scheme.configure(model, bound)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for rows in torch.arange(10).split(5):
        scheme.step(Context(model, bound, optimizers), Batch(x[rows], {}, rows))
    return scheme, model, before


@pytest.mark.parametrize(
    "make", [lambda: vi.FlowPosterior(2, PlanarFlow()), lambda: vi.ChainPosterior(2)]
)
def test_what_all_free_q_share_is_trained(make):
    """And the encoder is not. Caught: a flow that stays as it was made."""
    _, model, before = free(make())
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("inference.encoder."), name


def test_a_free_mixture_does_not_stay_one_gaussian():
    """Caught: components that begin at the same place and so never part."""
    scheme, model, _ = free(vi.GaussianMixturePosterior(2, 3))
    locs = q_at(model, scheme.table).loc  # (N, C, Z)
    assert (locs.diff(dim=-2).abs() > 0.1).all()


def test_a_free_direction_turns():
    """Caught: the start at 0, where no direction is."""
    scheme, model, _ = free(vi.VonMisesFisher(3), vi.UniformSphere(3))
    assert (q_at(model, scheme.table).mean[:, 1:].abs() > 1e-6).all()


def test_an_implicit_gradient_is_not_differentiated():
    """Caught: a second derivative that takes it for a constant."""
    for posterior, prior in (
        (vi.VonMisesFisher(3), vi.UniformSphere(3)),
        (vi.GaussianMixturePosterior(2, 3), vi.StandardNormal(2)),
    ):
        network = vi.MLP([4])
        model = vi.VAE((D,), network, network, posterior, prior, vi.Bernoulli())
        scheme, bound = vi.SemiAmortised(vi.GradientAscent(2)), vi.LogWeightELBO(2)
        optimizers, _ = scheme.configure(model, bound)
        batch = Batch(torch.rand(4, D).round(), {})
        with pytest.raises(vi.ConfigurationError, match="cannot be differentiated"):
            scheme.step(Context(model, bound, optimizers), batch)


def test_a_refined_model_is_the_same_but_for_q(make_refinement):
    """Caught: missing entries refused, and a likelihood of the wrong kind."""
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli())
    model = vi.VAE((D,), network, network, *parts, context_dim=3)
    refined = model.with_inference(vi.Refined(model.inference, make_refinement(num_steps=1)))
    assert (refined.takes_missing, refined.context_dim) == (True, 3)
    assert refined.data_head() is model.data_head()
    assert model.inference is refined.inference.inference

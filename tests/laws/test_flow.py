"""Normalising flows as posterior and as prior: laws beyond those of every posterior and prior."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Distribution, Normal, Transform

import vi
from tests.support.parts import part
from vi.cli.composing.compose import composed
from vi.config.build import build
from vi.config.registry import options
from vi.config.run import Run
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.flow import zuko
from vi.distributions.flows.planar import _Planar

FLOWS = list(options("flow"))
SMOOTH = [f for f in FLOWS if f != "spline"]
H = 2  # width of the context


def _recipe(option: str) -> vi.FlowRecipe:
    """Return the recipe of the yaml, with small networks."""
    small = lambda node: {
        k: [6] if k == "hidden" else small(v) if isinstance(v, dict) else v
        for k, v in node.items()
    }
    return build("flow", small(part("flow", option)))


def _wild(module: nn.Module, size: float = 0.3) -> nn.Module:
    """Move the parameters of a flow far from the identity."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, size)
    return module


def _posterior(option: str, dim: int, *, wild: bool = True) -> vi.FlowPosterior:
    head = vi.FlowPosterior(dim, _recipe(option), H)
    return _wild(head) if wild else head


def _prior(option: str, dim: int) -> Distribution:
    return _wild(vi.FlowPrior(dim, _recipe(option)))()


def _q(option: str, dim: int, *batch: int) -> Distribution:
    head = _posterior(option, dim)
    return head(torch.randn(*batch, *head.out_shape))


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("option", FLOWS)
def test_there_and_back(option, dim):
    """f^-1(f(x)) = x and the determinants cancel, inside a spline's box and far outside it: 1e-7.

    Caught: bisection on too narrow an interval.
    """
    f = _wild(_recipe(option)(dim, H))(torch.randn(4, H))
    x = torch.randn(50, 4, dim) * torch.tensor([0.1, 1.0, 3.0, 20.0])[:, None]
    y, there = f.call_and_ladj(x)
    again, back = f.inv.call_and_ladj(y)
    scale = x.abs().clamp_min(1.0)
    assert ((again - x) / scale).abs().max() <= 1e-7
    assert (there + back).abs().max() <= 1e-7
    assert (f(x) - y).abs().max() <= 1e-12 * y.abs().max()


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("option", FLOWS)
def test_determinant_against_the_jacobian(option, dim):
    """log det agrees with automatic differentiation: at most 1e-9.

    Caught: 1 + w'u without h'(a).
    """
    f = _wild(_recipe(option)(dim, H))(torch.randn(H))
    for x in 2 * torch.randn(10, dim):
        jacobian = torch.autograd.functional.jacobian(f, x)
        assert (f.call_and_ladj(x)[1] - jacobian.slogdet()[1]).abs() <= 1e-9


@pytest.mark.parametrize("option", ["autoregressive", "coupling", "spline"])
def test_who_is_given_whom(option):
    """A transform conditions each entry on those before it, or one half on the other.

    The second transform uses the reverse order. Caught: the same order in every transform; a
    coupling without conditioning.
    """
    make = {"autoregressive": vi.AutoregressiveFlow, "spline": vi.SplineFlow}
    recipe = make.get(option, vi.CouplingFlow)
    before, after = torch.ones(4, 4, dtype=torch.bool).tril(), torch.ones(4, 4, dtype=torch.bool)
    if option == "coupling":
        before[1, 0] = before[3, 2] = after[3, 2] = after[2, 3] = False
    for num, expected in ((1, before), (2, after)):
        f = _wild(recipe(num, [20])(4, H))(torch.randn(H))
        jacobian = torch.autograd.functional.jacobian(f, torch.randn(4))
        assert torch.equal(jacobian != 0, expected)


@pytest.mark.parametrize("option", FLOWS)
def test_log_prob_of_a_draw(option):
    """Both ways to compute log q agree to 1e-8, and both ways to draw agree to the last bit.

    Caught: log sigma left out; the determinant with the other sign.
    """
    for p in (_q(option, 3, 5), _prior(option, 3)):
        torch.manual_seed(1)
        z, log_p = p.rsample_and_log_prob((7,))
        torch.manual_seed(1)
        assert torch.equal(p.rsample((7,)), z)
        assert (p.log_prob(z) - log_p).abs().max() <= 1e-8


def _mass(p: Distribution, width: float, nodes: int) -> Tensor:
    """Return the integral of p by the trapezoidal rule over so many sigma."""
    (dim,) = p.event_shape
    axis = torch.linspace(-width, width, nodes)
    grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, *[1] * len(p.batch_shape), dim)
    scale = p.log_scale.exp()
    density = p.log_prob(p.loc + scale * grid).exp() * scale.prod(-1)
    return density.sum(0) * (axis[1] - axis[0]) ** dim


@pytest.mark.parametrize("option", SMOOTH)
def test_smooth_flows_integrate_to_one(option):
    """A flow in two dimensions integrates to 1, as posterior and as prior: at most 1e-6.

    Caught: 0.001 nats too much.
    """
    for p in (_q(option, 2, 1), _prior(option, 2)):
        assert (_mass(p, width=16, nodes=321) - 1).abs().max() <= 1e-6


def test_a_spline_flow_integrates_to_one():
    """A spline flow in one dimension integrates to 1, on a grid fine enough for corners: 1e-6."""
    for p in (_q("spline", 1, 2), _prior("spline", 1)):
        assert (_mass(p, width=12, nodes=100_001) - 1).abs().max() <= 1e-6


@pytest.mark.parametrize("edge", [-5.0, 5.0])
def test_a_spline_is_continuous_where_its_box_ends(edge):
    """Value and slope agree from both sides of the ends of the box: at most 1e-5."""
    f = _wild(_recipe("spline")(1, H))(torch.randn(20, H))
    inside, outside = (torch.full((20, 1), edge * (1 + s * 1e-9)) for s in (-1, 1))
    (y, slope), (y_out, slope_out) = f.call_and_ladj(inside), f.call_and_ladj(outside)
    assert (y - y_out).abs().max() <= 1e-5
    assert (slope - slope_out).abs().max() <= 1e-5


@pytest.mark.parametrize("option", FLOWS)
@pytest.mark.parametrize(("loc", "scale"), [(50.0, 1e-3), (-3e4, 1e6), (0.0, 1e30), (0.0, 1e-30)])
def test_location_and_scale_are_outside_the_flow(option, loc, scale):
    """q at mu, sigma is q at 0, 1 shifted and scaled, however far from a spline's box."""
    head = _posterior(option, 3)
    summary, y = torch.randn(5, H), torch.randn(7, 5, 3)
    q0, q = (
        head(torch.cat([torch.full((5, 3), m), torch.full((5, 3), math.log(s)), summary], -1))
        for m, s in ((0.0, 1.0), (loc, scale))
    )
    log_q, log_q0 = q.log_prob(loc + scale * y) + 3 * math.log(scale), q0.log_prob(y)
    assert torch.allclose(log_q, log_q0, rtol=1e-8, atol=1e-8)
    torch.manual_seed(1)
    z0, log_q0 = q0.rsample_and_log_prob((7,))
    torch.manual_seed(1)
    z, log_q = q.rsample_and_log_prob((7,))
    assert torch.allclose(z, loc + scale * z0, rtol=1e-9)
    assert (log_q + 3 * math.log(scale) - log_q0).abs().max() <= 1e-9


@pytest.mark.parametrize("option", FLOWS)
def test_starts_near_the_mean_field_gaussian(option):
    """Initially the mean is within 0.3 sigma and the sd within 30 % of a Gaussian's.

    Caught: networks that start ten times larger; the paper's softplus in a planar flow.
    """
    head = _posterior(option, 4, wild=False)
    params = torch.randn(20, *head.out_shape)
    q, mean_field = head(params), vi.DiagonalGaussian(4)(params[:, :8])
    assert ((q.mean - mean_field.mean) / mean_field.stddev).abs().max() <= 0.3
    assert (q.stddev / mean_field.stddev).log().abs().max() <= 0.3


@pytest.mark.parametrize("option", FLOWS)
def test_moments_are_estimates(option):
    """Against 20 000 draws the mean is within 0.2 sd and the sd within 20 %.

    Caught: the variance without sigma.
    """
    q = _q(option, 3, 4)
    z = q.sample((20_000,))
    assert ((q.mean - z.mean(0)) / z.std(0)).abs().max() <= 0.2
    assert (q.stddev / z.std(0)).log().abs().max() <= 0.2


def test_moments_of_an_affine_flow_are_exact():
    """The moments of exp(a) x + b are exact: at most 1e-12. Caught: unstandardised points."""
    q = _q("autoregressive", 1, 4)
    log_scale = q.transform.call_and_ladj(torch.zeros(4, 1))[1]
    loc = q.transform(torch.zeros(4, 1))
    exact = Normal(q.loc + q.log_scale.exp() * loc, (q.log_scale + log_scale[:, None]).exp())
    assert torch.allclose(q.mean, exact.mean, rtol=1e-12, atol=1e-12)
    assert torch.allclose(q.stddev, exact.stddev, rtol=1e-12)


@pytest.mark.parametrize("option", FLOWS)
def test_passes_through_the_network(option):
    """A posterior draws and a prior scores in one pass per network; an inverse flow reverses this.

    Caught: a prior in the direction of the posterior, and the other way round.
    """
    head, prior, z = _posterior(option, 4), vi.FlowPrior(4, _recipe(option)), torch.randn(3, 4)
    q, p = head(torch.randn(*head.out_shape)), prior()
    one_pass = [(head, q.rsample_and_log_prob), (prior, lambda: p.log_prob(z))]
    if option == "inverse":
        one_pass = [(head, lambda: q.log_prob(z)), (prior, p.rsample)]
    for module, work in one_pass:
        assert _passes(module, work) == 1


def _passes(module: nn.Module, work) -> int:
    """Return how often the last layer of the first network was called."""
    hyper = [m for m in module.modules() if isinstance(m, zuko.nn.MaskedMLP)]
    if not hyper:  # planar: no network
        return 1
    count = []
    hook = hyper[0].register_forward_hook(lambda *_: count.append(1))
    work()
    hook.remove()
    return len(count)


@pytest.mark.parametrize("option", FLOWS)
def test_gradients(option):
    """Gradients of a draw, of its density and of log q elsewhere agree with finite differences.

    In the parameters and in z. Caught: a detached determinant; a detached h; bisection without
    Newton steps.
    """
    head = _posterior(option, 2)
    params = torch.randn(3, *head.out_shape, requires_grad=True)
    z = torch.randn(3, 2, requires_grad=True)

    def draw(params: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(3)
        return head(params).rsample_and_log_prob((2,))

    log_prob = lambda params, z: head(params).log_prob(z)
    assert gradcheck(draw, (params,))
    assert gradcheck(log_prob, (params, z))
    prior = vi.FlowPrior(2, _recipe(option))
    assert gradcheck(lambda z: prior().log_prob(z), (z,))


def test_second_derivatives_of_the_planar_inverse():
    """The planar inverse has second derivatives. Caught: one Newton step in place of two."""
    head = _posterior("planar", 2)
    params = torch.randn(2, *head.out_shape, requires_grad=True)
    z = torch.randn(2, 2)
    assert gradgradcheck(lambda params: head(params).log_prob(z), (params,))


@pytest.mark.parametrize("option", FLOWS)
def test_single_precision(option):
    """Draws and their log q in float32 agree with float64, relative to their size: 1e-5."""
    head = _posterior(option, 4)
    params, noise = torch.randn(200, *head.out_shape), torch.randn(200, 4)
    results = []
    for dtype in (torch.float64, torch.float32):
        q = head.to(dtype)(params.to(dtype))
        q._noise = lambda shape, dtype=dtype: noise.to(dtype)
        results.append([r.double() for r in q.rsample_and_log_prob()])
    (z, log_q), (z32, log_q32) = results
    assert (z - z32).abs().max() <= 1e-5 * z.abs().max()
    assert (log_q - log_q32).abs().max() <= 1e-5 * log_q.abs().max().clamp_min(1.0)


@pytest.mark.parametrize("option", FLOWS)
def test_noise_of_a_datum_is_its_own(small_vae, option):
    """A datum has the same draws in batches of 1, 3 and 8: at most 1e-12."""
    model = small_vae(posterior=_posterior(option, 2), prior=vi.FlowPrior(2, _recipe(option)))
    x, bound = torch.randn(8, 6), vi.IWAE(3)
    values = []
    for size in (1, 3, 8):
        parts = []
        for rows in torch.arange(8).split(size):
            with datum_noise(5, rows):
                parts.append(bound(model, x[rows]).value)
        values.append(torch.cat(parts))
    assert (values[0] - values[1]).abs().max() <= 1e-12
    assert (values[0] - values[2]).abs().max() <= 1e-12


@pytest.mark.parametrize("option", FLOWS)
def test_saved_and_loaded(small_vae, tmp_path, option):
    """Posterior and prior with this flow are restored by option names and weights, bit by bit."""
    model = small_vae(posterior=_posterior(option, 2), prior=vi.FlowPrior(2, _recipe(option)))
    again = vi.load(vi.save(model, tmp_path / "model"))
    x, z = torch.randn(5, 6), torch.randn(3, 5, 2)
    assert torch.equal(model.posterior(x).log_prob(z), again.posterior(x).log_prob(z))
    assert torch.equal(model.prior().log_prob(z), again.prior().log_prob(z))


def _planar(params: Tensor) -> Transform:
    u, w, b = params.split([3, 3, 1], -1)
    return _Planar(u, w, b.squeeze(-1))


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3, 1e8])
def test_a_planar_flow_is_always_invertible(size):
    """The determinant is positive for any u and w; w = 0 is a shift.

    Caught: a division by |w|^2 = 0.
    """
    f = _planar(torch.randn(100, 7) * torch.tensor([1.0] * 3 + [size] * 3 + [1.0]))
    x = torch.randn(100, 3)
    y, log_det = f.call_and_ladj(x)
    assert y.isfinite().all()
    assert log_det.isfinite().all()
    if size <= 1e3:
        assert ((f.inv(y) - x) / (1 + y.abs())).abs().max() <= 1e-6


def test_a_planar_flow_does_not_fold():
    """For u against w, the slope where tanh is steepest stays at 1e-3. Caught: no lower limit."""
    w = torch.ones(1, 3)
    f = _planar(torch.cat([-1e4 * w, w, torch.zeros(1, 1)], -1))
    log_det = f.call_and_ladj(torch.zeros(1, 3))[1]
    assert log_det.item() == pytest.approx(math.log(1e-3), rel=1e-9)


def _banana(z: Tensor) -> Tensor:
    """Return log p(z | x) up to a constant: z ~ N(0, I), z_2 - z_1^2 observed as 0, noise 0.4."""
    return -0.5 * z.square().sum(-1) - 0.5 * ((z[..., 1] - z[..., 0].square() + 1) / 0.4) ** 2


def _divergence(q: Distribution) -> float:
    """Return KL(q || p(z|x)) by quadrature."""
    axis = torch.linspace(-5, 5, 201)
    grid = torch.cartesian_prod(axis, axis)[:, None]
    cell = (axis[1] - axis[0]).square()
    evidence = (_banana(grid).exp() * cell).sum().log()
    log_q = q.log_prob(grid)
    assert abs((log_q.exp() * cell).sum().item() - 1) <= 5e-3
    return (log_q.exp() * (log_q - _banana(grid) + evidence) * cell).sum().item()


def _fitted(head: vi.ConditionalDistribution) -> Distribution:
    """Return the q of one datum after 200 steps of Adam on its ELBO."""
    params = torch.zeros(1, *head.out_shape, requires_grad=True)
    optimizer = torch.optim.Adam([params, *head.parameters()], lr=0.03)
    for _ in range(200):
        q = head(params)
        at = draw(q, 64)
        optimizer.zero_grad()
        (at.log_q - _banana(at.z)).mean().backward()
        optimizer.step()
    with torch.no_grad():
        return head(params)


def test_fits_what_a_gaussian_cannot():
    """A flow fits a curved posterior with at most a quarter of the KL of a full Gaussian."""
    gaussian = _divergence(_fitted(vi.FullGaussian(2)))
    flow = _divergence(_fitted(_posterior("spline", 2, wild=False)))
    assert 0 <= flow <= gaussian / 4


def test_the_default_bound_estimates_the_kl(small_vae):
    """posterior=flow and prior=flow select bound=elbo_log_weight; bound=elbo is an error."""
    for option in ("posterior=flow", "prior=flow"):
        chosen = composed("train", [option], Run)["bound"]["_target_"]
        assert chosen == "vi.bounds.elbo.LogWeightELBO"
    model = small_vae(posterior=_posterior("spline", 2))
    with pytest.raises(vi.ConfigurationError, match="FlowDistribution") as refusal:
        vi.ELBO()(model, torch.randn(5, 6))
    assert "bound=elbo_log_weight" in refusal.value.hint


def test_torch_still_checks_its_arguments():
    """Importing zuko turns torch's argument checks off. Caught: not turned on again."""
    with pytest.raises(ValueError, match="scale"):
        Normal(torch.zeros(()), -torch.ones(()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vi.SplineFlow(num_transforms=0), "num_transforms must be greater than 0, got 0"),
        (lambda: vi.SplineFlow(num_bins=1), "num_bins must be greater than 1, got 1"),
        (lambda: vi.AutoregressiveFlow(num_transforms=0), "num_transforms"),
        (lambda: vi.CouplingFlow(num_transforms=0), "num_transforms"),
        (lambda: vi.PlanarFlow(num_transforms=0), "num_transforms"),
        (lambda: vi.FlowPosterior(0, vi.PlanarFlow()), "latent_dim must be greater than 0"),
        (lambda: vi.FlowPosterior(2, vi.PlanarFlow(), 0), "summary_dim must be greater than 0"),
        (lambda: vi.FlowPrior(0, vi.PlanarFlow()), "latent_dim must be greater than 0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(vi.ConfigurationError, match=message):
        make()

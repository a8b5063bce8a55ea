"""Mixtures, and the implicit gradient of their draws."""

from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    Poisson,
)

import vi
from tests.support.oracles import standard_error
from vi.distributions import normal_mixture
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.mixture import FiniteMixture
from vi.distributions.normal_mixture import NormalMixture

COMPONENTS = {
    "a number": lambda *batch: Normal(torch.randn(*batch), torch.rand(*batch) + 0.5),
    "counts": lambda *batch: Poisson(5 * torch.rand(*batch)),
    "a vector": lambda *batch: Independent(Normal(torch.randn(*batch, 3), 0.5), 1),
    "an image": lambda *batch: Independent(Bernoulli(logits=torch.randn(*batch, 1, 2, 2)), 3),
}


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)], ids=str)
@pytest.mark.parametrize("name", COMPONENTS)
def test_is_what_torch_calls_a_mixture(name, batch):
    """Density, mean and variance equal torch's for events of any rank: at most 1e-12.

    Caught: weights that do not add up to 1; the variance without that of the means.
    """
    logits, components = torch.randn(*batch, 4), COMPONENTS[name](*batch, 4)
    p = FiniteMixture(logits, components)
    theirs = MixtureSameFamily(Categorical(logits=logits), components)
    x = theirs.sample((7,))
    assert p.sample((7,)).shape == x.shape
    for ours, other in (
        (p.log_prob(x), theirs.log_prob(x)),
        (p.mean, theirs.mean),
        (p.variance, theirs.variance),
    ):
        assert torch.allclose(ours, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", COMPONENTS)
def test_moments_of_its_samples(name):
    """100 000 draws, seed 0: 4 s.e., at most 16 numbers: fails by chance once in 1 000.

    Caught: draws of one component only; components chosen evenly.
    """
    p = FiniteMixture(torch.randn(2, 4), COMPONENTS[name](2, 4))
    deviation = p.sample((100_000,)) - p.mean
    assert (deviation.mean(0).abs() <= 4 * standard_error(deviation)).all()
    squares = deviation.square() - p.variance
    assert (squares.mean(0).abs() <= 4 * standard_error(squares)).all()


@pytest.mark.parametrize("size", [0.0, 100.0])
def test_extreme_weights(size):
    """Logits of +-100: a component without weight is never drawn and leaves no NaN."""
    logits = size * torch.tensor([-1.0, 1.0, -1.0])
    components = Normal(torch.tensor([-1e6, 0.0, 1e6]), torch.tensor([1e-30, 1.0, 1e30]))
    p = FiniteMixture(logits, components)
    z = p.sample((1000,))
    assert (z.abs() < 1e4).all() == (size > 0)
    assert p.log_prob(z).isfinite().all()


def _mixture(
    *batch: int, c: int = 3, dim: int = 4, gap: float = 1.0
) -> tuple[list[Tensor], NormalMixture]:
    """Return leaves (logits, m, log s) and the mixture made of them."""
    leaves = [torch.randn(*batch, c), gap * torch.randn(*batch, c, dim)]
    leaves += [0.5 * torch.randn(*batch, c, dim)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    return leaves, NormalMixture(leaves[0], leaves[1], leaves[2].exp())


def _distribution_function(z: Tensor, logits: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """Return F_d(z_d | z_1 .. z_(d-1)) for every d, one dimension after the other."""
    log_w, columns = logits, []
    for d in range(z.shape[-1]):
        normal = Normal(loc[..., d], log_scale[..., d].exp())
        columns.append((log_w.softmax(-1) * normal.cdf(z[..., d, None])).sum(-1))
        log_w = log_w + normal.log_prob(z[..., d, None])
    return torch.stack(columns, -1)


def test_a_draw_keeps_its_place_in_the_distribution():
    """d/d parameters of F(z(parameters); parameters) = 0, every d and draw: at most 1e-10.

    This is the definition of the implicit gradient, with a distribution function that is computed
    one dimension after the other. Caught: the slopes below the diagonal left out, or not
    transposed; Phi without F; a score of the wrong sign; a sum that includes its own dimension;
    the gradient through the components alone.
    """
    leaves, q = _mixture(6)
    z = q.rsample((5,))
    cdf = _distribution_function(z, *leaves)
    torch.manual_seed(1)
    for _ in range(4):  # a derivative in a random direction of all the F at once
        grads = torch.autograd.grad(
            (cdf * torch.randn(cdf.shape)).sum(), leaves, retain_graph=True
        )
        assert max(g.abs().max() for g in grads) <= 1e-10


def test_the_distribution_function_is_uniform_over_draws():
    """F(z) of 100 000 draws: mean 1/2, variance 1/12 and no correlation: 4 s.e., once in 1 000."""
    leaves, q = _mixture(dim=3)
    with torch.no_grad():
        u = _distribution_function(q.sample((100_000,)), *leaves) - 0.5
    pairs = torch.stack([u[:, 0] * u[:, 1], u[:, 0] * u[:, 2], u[:, 1] * u[:, 2]], -1)
    numbers = torch.cat([u, u.square() - 1 / 12, pairs], -1)
    assert (numbers.mean(0).abs() <= 4 * standard_error(numbers)).all()


def test_equal_components_are_one_gaussian():
    """C equal components give dz = dm + e ds, divided by their weights: at most 1e-10."""
    logits, loc, log_scale = torch.randn(3), torch.randn(1, 4), torch.randn(1, 4)
    loc, log_scale = loc.requires_grad_(), log_scale.requires_grad_()
    q = NormalMixture(logits, loc.expand(3, 4), log_scale.exp().expand(3, 4))
    z = q.rsample((50,))
    weight = torch.randn(50, 4)
    of_loc, of_log_scale = torch.autograd.grad((weight * z).sum(), [loc, log_scale])
    assert torch.allclose(of_loc, weight.sum(0, keepdim=True), rtol=1e-10)
    by_hand = (weight * (z.detach() - loc)).sum(0, keepdim=True)
    assert torch.allclose(of_log_scale, by_hand, rtol=1e-10, atol=1e-10)


def test_a_draw_is_a_sample():
    """The same noise gives the same values with and without a gradient."""
    _, q = _mixture(6)
    drawn = []
    for make in (q.sample, q.rsample):
        torch.manual_seed(3)
        drawn.append(make((5,)))
    assert torch.equal(*drawn)
    assert drawn[1].requires_grad
    assert not drawn[0].requires_grad


def test_a_second_derivative_is_refused():
    """A second derivative is a named error.

    Caught: a wrong number in its place, which ``once_differentiable`` lets through.
    """
    leaves, q = _mixture(6)
    value = q.rsample().square().sum()
    with pytest.raises(vi.ConfigurationError, match="cannot be differentiated") as refusal:
        torch.autograd.grad(value, leaves, create_graph=True)
    assert "scheme.through=false" in refusal.value.hint


def test_gradcheck_of_the_density():
    """Gradients of log p agree with finite differences, also in z."""
    leaves, q = _mixture(2, dim=3)
    z = q.sample().requires_grad_()
    log_prob = lambda z, a, b, c: NormalMixture(a, b, c.exp()).log_prob(z)
    assert gradcheck(log_prob, (z, *leaves))


@pytest.mark.parametrize("where", ["drawn", "above", "below"])
@pytest.mark.parametrize("gap", [0.1, 1.0, 30.0])
def test_gradient_in_single_precision(gap, where):
    """float32 gradients of 300 draws, in the bulk and 4.5 sd outside, agree with float64.

    At most 1e-2 of the greatest entry of each draw, and 1e-3 in the median far outside (3e-3 and
    6e-5 measured); one component is narrow. Caught: Phi alone in the upper tail; the sum over the
    previous dimensions as the sum including the current one minus it.
    """
    leaves, _ = _mixture(300, gap=gap)
    with torch.no_grad():
        leaves[2][:, 0, 1] = -9.0
        leaves = [leaf.float() for leaf in leaves]
        q = NormalMixture(leaves[0], leaves[1], leaves[2].exp())
        far = {"drawn": 0.0, "above": 4.5, "below": -4.5}[where]
        z = q.loc[:, 1] + far * q.scale[:, 1] if far else q.sample()
    gradients = []
    for dtype in (torch.float64, torch.float32):
        mine = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        p = NormalMixture(mine[0], mine[1], mine[2].exp())
        p.sample = lambda shape=(), dtype=dtype: z.to(dtype)  # noqa: ARG005
        of_each = torch.autograd.grad(p.rsample().sum(), mine)
        gradients.append(torch.cat([g.flatten(1) for g in of_each], -1))
    exact, single = gradients
    assert single.isfinite().all()
    error = (single.double() - exact).abs().amax(-1) / exact.abs().amax(-1)
    assert (error.median() <= 1e-3) if far else (error.max() <= 1e-2)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(scale):
    """A component of extreme scale beside an ordinary one gives finite draws and gradients."""
    leaves, _ = _mixture(50)
    scales = torch.cat([leaves[2][:, :1].exp() * scale, leaves[2][:, 1:].exp()], 1)
    q = NormalMixture(leaves[0], leaves[1], scales)
    z = q.rsample((20,))
    value = (z / (1 + z.abs())).sum() + 1e-3 * q.log_prob(z.detach()).sum()
    for g in torch.autograd.grad(value, leaves):
        assert g.isfinite().all()


def test_noise_of_a_datum_is_its_own():
    """A datum draws the same alone and in a batch, bit for bit."""
    head = vi.GaussianMixturePosterior(3, num_components=4)
    params = torch.randn(4, *head.out_shape)
    with datum_noise(0, [0, 1, 2, 3]):
        z = draw(head(params), 5).z
    with datum_noise(0, [2]):
        alone = draw(head(params[2:3]), 5).z
    assert torch.equal(z[:, 2:3], alone)


def test_one_component_is_the_diagonal_gaussian():
    """Without differences the density is the diagonal Gaussian's: at most 1e-12.

    Caught: log s read before mu.
    """
    params, z = torch.randn(20, 6), torch.randn(9, 20, 3)
    rest = torch.cat([torch.randn(20, 1), torch.zeros(20, 6)], -1)
    q = vi.GaussianMixturePosterior(3, num_components=1)(torch.cat([params, rest], -1))
    assert torch.allclose(q.log_prob(z), vi.DiagonalGaussian(3)(params).log_prob(z), rtol=1e-12)


def test_differences_of_the_components_are_in_units_of_the_whole():
    """C mu_c = C mu + s a_c and log s_c = log s + b_c / C by hand, in float64: at most 1e-12.

    Caught: differences that are not divided by C; a in units of s_c.
    """
    head = vi.GaussianMixturePosterior(3, num_components=4)
    mu, log_s, logits, a, b = (torch.randn(20, *shape) for shape in head.param_shapes)
    q = head(torch.cat([part.flatten(1) for part in (mu, log_s, logits, a, b)], -1))
    for c in range(4):
        assert (q.loc[:, c] - mu - log_s.exp() * a[:, c] / 4).abs().max() <= 1e-12
        assert (q.scale[:, c].log() - log_s - b[:, c] / 4).abs().max() <= 1e-12
    assert (q.log_weights - (logits / 4).log_softmax(-1)).abs().max() <= 1e-12


def test_a_draw_between_components_does_not_end_the_training():
    """Gradients of draws between components are limited: 40 dimensions, 4 components, 50 points.

    The dependence between entries multiplies a gradient by 1e9 and by 1e22 there; it is limited to
    1e3, and smaller factors are left as they are, bit for bit. Caught: no limit.
    """
    torch.manual_seed(0)
    z, logits = 0.3 * torch.randn(50, 40).float(), torch.zeros(50, 4).float()
    scale = (torch.randn(50, 4, 40) / 4).exp().float()
    for far, most in ((0.1, None), (1.5, 2e4), (3.0, 4e5)):
        loc = (far * torch.randn(50, 4, 40)).float().requires_grad_()
        gradients = []
        for cut in (1e3, 1e30):
            with mock.patch.object(normal_mixture, "_MOST", cut):
                p = NormalMixture(logits, loc, scale)
                p.sample = lambda shape=(): z  # noqa: ARG005
                gradients.append(torch.autograd.grad(p.rsample().sum(), loc)[0])
        if most is None:
            assert torch.equal(*gradients)
        else:
            assert gradients[0].abs().max() <= most < 1e-3 * gradients[1].abs().max()


def test_a_new_prior_has_components_that_differ():
    """A new prior has distinct components.

    Caught: all of them at 0, which no gradient separates.
    """
    loc = vi.GaussianMixturePrior(2, num_components=5).loc
    assert torch.pdist(loc.detach()).min() > 1e-3


@pytest.mark.parametrize("make", [vi.GaussianMixturePosterior, vi.GaussianMixturePrior])
@pytest.mark.parametrize(("sizes", "name"), [((0, 3), "latent_dim"), ((3, 0), "num_components")])
def test_refuses_nothing(make, sizes, name):
    with pytest.raises(vi.ConfigurationError, match=f"{name} must be greater than 0"):
        make(*sizes)


@pytest.mark.parametrize("far", [1.0, 30.0])
def test_densities_of_shared_components_in_single_precision(far):
    """log p and its gradients in float32, scales down to 0.01 at a distance: 1e-5 relative.

    Caught: the products in single precision.
    """
    leaves = [torch.randn(7), far * torch.randn(7, 4), 0.01 + torch.rand(7, 4), torch.empty(50, 4)]
    leaves[3] = leaves[1][torch.arange(50) % 7] + 0.05 * torch.randn(50, 4)
    leaves = [leaf.float() for leaf in leaves]
    results = []
    for dtype in (torch.float64, torch.float32):
        mine = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        log_p = NormalMixture(*mine[:3]).log_prob(mine[3])
        assert log_p.dtype == dtype
        results.append((log_p.detach(), *torch.autograd.grad(log_p.sum(), mine)))
    for exact, single in zip(*results, strict=True):
        assert (single.double() - exact).abs().max() <= 1e-5 * exact.abs().max()

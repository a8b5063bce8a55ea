"""The linear layer that chooses its library computes what torch's computes."""

import math
from functools import cache

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import linear

import vi
from vi.cache import Measured
from vi.data.base import Batch
from vi.distributions.datum_noise import datum_noise, keyed_draw
from vi.fast import linear as products
from vi.fast.linear import Kernels
from vi.fast.plans import Plan
from vi.fast.swapped import in_class, swaps
from vi.schemes.base import Context

SIZE = "64x300x300, 1 threads"
ROWS, WIDTH = 64, 300


@pytest.fixture(params=[Plan(*[True] * 5), Plan(forward=True), Plan(of_weight=True)])
def kernels(request):
    """By which this size is computed as is told here."""
    if products._oneDNN is None:
        pytest.skip("this torch has no oneDNN")
    kernels = Kernels()
    kernels.plans.adopt({SIZE: request.param})
    return kernels


class Ours(nn.Linear):
    """A layer by these kernels, and by torch's where there are none."""

    kernels: Kernels | None = None

    def forward(self, input):
        return self.kernels.linear(self, input) if self.kernels else super().forward(input)


def layer_and_input(kernels):
    x = torch.randn(ROWS, WIDTH, requires_grad=True)
    layer = Ours(WIDTH, WIDTH)
    layer.kernels = kernels
    return layer, x


def test_the_product_and_its_gradients_are_those_of_torch(kernels):
    """To 1e-5 of the largest entry. Caught: the gradient of the weight transposed."""
    layer, x = layer_and_input(kernels)
    of_y = torch.randn(ROWS, WIDTH)
    arguments = (x, layer.weight, layer.bias)
    y = layer(x)
    assert "View" in type(y.grad_fn).__name__  # behind it is our own backward
    ours = torch.autograd.grad(y, arguments, of_y)
    plain = linear(*arguments)
    theirs = torch.autograd.grad(plain, arguments, of_y)
    for a, b in zip([y, *ours], [plain, *theirs], strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_its_gradient_has_a_gradient(kernels):
    """Caught: a backward of oneDNN's products, which autograd knows no derivative of."""
    layer, x = layer_and_input(kernels)

    def penalty(by):
        layer.kernels = by
        (of_x,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(of_x.square().mean(), layer.weight)[0]

    ours, theirs = penalty(kernels), penalty(None)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_what_is_frozen_gets_no_gradient(kernels):
    layer, x = layer_and_input(kernels)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


def test_leading_axes_are_kept(kernels):
    layer, x = layer_and_input(kernels)
    with torch.no_grad():
        y = layer(x.view(2, 32, WIDTH))
    assert y.shape == (2, 32, WIDTH)
    assert (y.flatten(0, 1) - linear(x, layer.weight, layer.bias)).abs().max() <= 1e-5


@cache
def elbo_of_torch():
    return elbo_after_40_steps(Kernels(choosing=False))


def elbo_after_40_steps(by):
    """In single precision, each step with its own data and its own noise."""
    torch.manual_seed(0)
    x = torch.bernoulli(torch.sigmoid(torch.randn(100, ROWS, 5) @ torch.randn(5, WIDTH)))
    parts = (vi.MLP([WIDTH]), vi.MLP([WIDTH]), vi.DiagonalGaussian(3), vi.StandardNormal(3))
    model, scheme, bound = vi.VAE((WIDTH,), *parts, vi.Bernoulli()), vi.Joint(), vi.ELBO()
    optimizers, _ = scheme.configure(model, bound)
    with in_class(swaps(by, [model])):
        for step in range(40):
            torch.manual_seed(step)
            scheme.step(Context(model, bound, optimizers), Batch(x[step], {}))
        with torch.no_grad():
            return vi.ELBO(100)(model, x[0]).value.mean()


def test_training_ends_where_it_would_have_ended(kernels):
    """The ELBO after 40 steps, to 1e-5 relative. Caught: a forward without its bias."""
    ours, theirs = elbo_after_40_steps(kernels), elbo_of_torch()
    assert (ours - theirs).abs() <= 1e-5 * theirs.abs()


@pytest.mark.parametrize("entry", ["double", "small", "autocast to float16"])
def test_everything_else_is_left_to_torch(entry, kernels):
    layer, x = layer_and_input(kernels)
    if entry == "double":
        layer, x = layer.double(), x.double()
    if entry == "small":
        x = x[:2]
    with torch.autocast("cpu", torch.float16, enabled="autocast" in entry):
        assert torch.equal(layer(x), linear(x, layer.weight, layer.bias))


def test_log_p_of_bits_has_exact_gradients(float64):
    """First and second derivatives against finite differences, and extreme logits."""
    head = vi.Bernoulli()
    head.set_event_shape((2, 3))
    logits = (3 * torch.randn(4, 5, 6)).requires_grad_()
    x = torch.rand(5, 2, 3).requires_grad_()
    assert gradcheck(lambda a, b: head(a).log_prob(b), (logits, x))
    assert gradgradcheck(lambda a, b: head(a).log_prob(b), (logits, x))
    large = torch.tensor([[-1000.0, 25.0, -40.0, 0.0, 1000.0, 1e-300]])
    bits = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    exact = -math.log1p(math.exp(-25)) - math.log1p(math.exp(-40)) - 2 * math.log(2)
    assert head(large).log_prob(bits).item() == pytest.approx(exact, abs=1e-14)


@pytest.fixture
def nothing_known(monkeypatch):
    """Kernels of which nothing was measured."""
    monkeypatch.setattr(Measured, "recall", lambda *_: None)
    monkeypatch.setattr(Measured, "keep", lambda *_: None)
    return Kernels()


def test_a_measurement_leaves_random_numbers_alone(nothing_known):
    """Also within a draw whose noise belongs to the data, where flows and chains have networks.

    Caught: a measurement on random numbers.
    """
    layer, x = layer_and_input(nothing_known)
    with datum_noise(0, range(4)), keyed_draw(ROWS // 4, torch.Size([4])), torch.no_grad():
        state = torch.get_rng_state()
        layer(x)
        assert torch.equal(torch.get_rng_state(), state)
    assert list(nothing_known.plans.state_dict()) == [SIZE]


def test_a_measurement_is_of_single_precision(nothing_known, monkeypatch):
    """Caught: what is remembered measured on numbers that autocast had cast."""
    seen, product = [], products._product
    monkeypatch.setattr(
        products,
        "_product",
        lambda *a, **o: seen.append(torch.is_autocast_enabled("cpu")) or product(*a, **o),
    )
    layer, x = layer_and_input(nothing_known)
    rounding = nothing_known.rounding(by_onednn=True)
    with torch.autocast("cpu", torch.bfloat16), rounding, torch.no_grad():
        layer(x)
    assert len(seen) > 3 * 4 * 3
    assert not any(seen)


def rounded(x):
    """To bf16, in double precision."""
    return x.detach().bfloat16().double()


@pytest.fixture
def single(monkeypatch):
    """Products that say whether their factors were to be rounded, and round them everywhere."""
    asked = []

    def multiply(a, b):
        asked.append(torch.backends.mkldnn.matmul.fp32_precision)
        return (rounded(a) @ rounded(b)).float()

    if not products.can_be_asked_to_round():
        pytest.skip("this torch cannot ask oneDNN to round")
    monkeypatch.setattr(products.torch, "mm", multiply)
    return asked


def test_oneDNN_is_asked_to_round_the_factors_of_large_products_and_nothing_else(kernels, single):
    """y and both gradients are products of rounded factors, summed and kept in single precision.

    To 1e-5 of the largest entry, on a processor that does what it is asked. Caught: a result
    rounded to bf16, a gradient of factors that are not rounded, and a setting that stays.
    """
    layer, x = layer_and_input(kernels)
    before, of_y = torch.backends.mkldnn.matmul.fp32_precision, torch.randn(ROWS, WIDTH)
    with torch.autocast("cpu", torch.bfloat16), kernels.rounding(by_onednn=True):
        y = layer(x)
        with torch.no_grad():
            again = layer(x)
    found = [y, again, *torch.autograd.grad(y, (x, layer.weight), of_y)]
    assert single == ["bf16"] * 4
    a, w, g = map(rounded, (x, layer.weight, of_y))
    exact_y = a @ w.mT + layer.bias.double()
    for ours, exact in zip(found, [exact_y, exact_y, g @ w, g.mT @ a], strict=True):
        assert ours.dtype == torch.float32
        assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max()
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_without_being_asked_autocast_is_that_of_torch(kernels):
    """To the bit, and in the type that torch gives. Caught: fewer roundings than asked for."""
    layer, x = layer_and_input(kernels)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = layer(x), linear(x, layer.weight, layer.bias)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)

"""Layers that are one node of the graph compute what they would compute as several."""

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from vi.fast import linear as products
from vi.fast.linear import Kernels
from vi.fast.plans import Plan
from vi.fast.swapped import in_class, swaps

ROWS, WIDTH = 64, 300


@pytest.fixture(params=[Plan(*[True] * 4), Plan(forward=True), Plan()])
def plan(request):
    """What is chosen for these sizes while the test runs."""
    if products._oneDNN is None and any(request.param):
        pytest.skip("this torch has no oneDNN")
    return request.param


@pytest.fixture
def network(plan):
    """Makes layers of such a depth, which are one node while the test runs."""
    with ExitStack() as stack:
        yield lambda depth=3: one_node(depth, plan, stack)


def one_node(depth: int, plan: Plan, stack: ExitStack) -> tuple[nn.Sequential, Tensor]:
    layers = [m for _ in range(depth) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    layers, kernels = nn.Sequential(*layers[:-1]), Kernels()
    kernels.plans.adopt({f"{ROWS}x{WIDTH}x{WIDTH}, 1 threads": plan})
    stack.enter_context(in_class(swaps(kernels, [layers])))
    return layers, torch.randn(ROWS, WIDTH, requires_grad=True)


class Alone(nn.Module):
    """A linear layer as a node of its own, by the same products: torch's may add b otherwise."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.kernels.layers(x, self.layer.weight, self.layer.bias)


def as_several(layers: nn.Sequential) -> nn.Sequential:
    """The same layers."""
    return nn.Sequential(*(Alone(m) if isinstance(m, nn.Linear) else m for m in layers))


class ByTorch(nn.Module):
    """The same layers, as torch computes them."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        for m in self.layers:
            x = linear(x, m.weight, m.bias) if isinstance(m, nn.Linear) else m(x)
        return x


def gradients(layers: nn.Module, x: Tensor, of_y: Tensor) -> list[Tensor]:
    """y, its gradient with respect to x, and with respect to every parameter."""
    y = layers(x)
    return [y, *torch.autograd.grad(y, (x, *layers.parameters()), of_y)]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_to_the_bit(network, depth):
    """And by torch's own layers to 1e-5 of the largest entry.

    Caught: a rectifier after the last layer, and one left out of the way back.
    """
    layers, x = network(depth)
    of_y = torch.randn(ROWS, WIDTH)
    ours, theirs = gradients(layers, x, of_y), gradients(as_several(layers), x, of_y)
    assert "_Layers" in type(layers(x).grad_fn).__name__  # not the same code twice
    assert all(map(torch.equal, ours, theirs))
    plain = gradients(ByTorch(layers), x, of_y)
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_its_gradient_has_a_gradient(network):
    """To 1e-5 of the largest entry. Caught: hidden layers held constant in the second one."""

    def penalty(layers: nn.Module) -> tuple[Tensor, ...]:
        (of_x,) = torch.autograd.grad(layers(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(of_x.square().mean(), list(layers.parameters()))

    layers, x = network()
    for a, b in zip(penalty(layers), penalty(as_several(layers)), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("plan", [Plan(columns=True)], indirect=True)
def test_by_columns(network, monkeypatch):
    """What goes on into another layer is laid out so, and only that; all is equal to 1e-5.

    Caught: the gradient of a layer's input laid out otherwise than the input.
    """
    layers, x = network()
    of_y, laid_out = torch.randn(ROWS, WIDTH), []
    theirs = gradients(as_several(layers), x, of_y)
    product, rectify = products._product, products._RECTIFIED_BACKWARD

    def seen(*arguments, **options):
        y = product(*arguments, **options)
        laid_out.append(not y.is_contiguous())
        return y

    def rectified(of_y, x, threshold, *, grad_input):
        assert of_y.stride() == x.stride() == grad_input.stride()
        return rectify(of_y, x, threshold, grad_input=grad_input)

    monkeypatch.setattr(products, "_product", seen)
    monkeypatch.setattr(products, "_RECTIFIED_BACKWARD", rectified)
    ours = gradients(layers, x, of_y)
    assert laid_out[:3] == [True, True, False]
    assert laid_out[3:] == [False, True, False, True, False, False]  # of a weight, of its input
    for a, b in zip(ours, theirs, strict=True):
        assert a.is_contiguous()
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("frozen", [["0.weight"], ["2.bias", "4.weight"], ["x"]])
def test_what_is_frozen_gets_no_gradient(network, frozen):
    """And the others the one that they had. Caught: gradients in the places of others."""
    layers, x = network()
    named = {**dict(layers.named_parameters()), "x": x}
    _, of_x, *of_parameters = gradients(as_several(layers), x, torch.ones_like(x))
    expected = dict(zip(named, [*of_parameters, of_x], strict=True))
    for name in frozen:
        named[name].requires_grad_(False)
    layers(x).sum().backward()
    for name, p in named.items():
        assert p.grad is None if name in frozen else torch.equal(p.grad, expected[name])


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward"])
def test_hooks_of_a_layer_are_called(network, kind):
    layers, x = network()
    called = []
    getattr(layers[2], f"register_{kind}_hook")(lambda *_: called.append(kind))
    layers(x).sum().backward()
    assert called == [kind]


def test_the_data_are_left_as_they_are(network):
    """Caught: the data rectified in place."""
    layers, x = network()
    before = x.detach().clone()
    with torch.no_grad():
        layers(x)
    layers(x.detach())
    assert torch.equal(x, before)

"""An enlarged image and the convolution that reads it, as one layer on the small image."""

import pytest
import torch
from torch import nn

from vi.fast import session
from vi.fast.doubled import doubled
from vi.networks.images import Resize, keep


def layers(side: int, then: int, dtype: torch.dtype) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.ReLU(), Resize((then, then)), keep(3, 2), nn.Tanh()).to(dtype)
    return network, torch.randn(5, 3, side, side, dtype=dtype, requires_grad=True)


def results(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """What comes out, and the gradients of a random function of it."""
    out = network(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    return [out, *torch.autograd.grad((weights * out).sum(), [x, *network.parameters()])]


@pytest.mark.parametrize("side", [1, 2, 4, 7])
def test_it_is_the_enlarged_image_convolved(side):
    """At most 1e-12, with every gradient. Caught: taps in the order of the small image."""
    network, x = layers(side, 2 * side, torch.float64)
    plain = results(network, x)
    with session(None, network):
        ours = results(network, x)
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).abs().max() <= 1e-12 * (1 + b.abs().max())


def test_it_is_used_where_a_size_is_doubled(monkeypatch):
    """And nowhere else: another size, a hook, another convolution. Caught: 7 to 13 doubled."""
    seen = []
    monkeypatch.setattr("vi.fast.swapped.doubled", lambda *a: seen.append(0) or doubled(*a))

    def times(network: nn.Module, x: torch.Tensor) -> int:
        seen.clear()
        plain = network(x)
        with session(None, network):
            assert torch.allclose(network(x), plain, atol=1e-5)
        return len(seen)

    assert times(*layers(4, 8, torch.float32)) == 1
    assert times(*layers(7, 13, torch.float32)) == 0
    network, x = layers(4, 8, torch.float32)
    network[2].register_forward_hook(lambda *_: None)
    assert times(network, x) == 0
    network, x = layers(4, 8, torch.float32)
    network[2] = nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")
    assert times(network, x) == 0


def test_gradients_of_gradients():
    """As refinement that is learned through needs. Caught: a backward of its own."""
    x = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, w: doubled(x, w, None), (x, weight))

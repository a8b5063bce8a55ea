"""The laws of ``vi.testing`` hold for parts that vi does not have."""

import pytest
import torch
from torch.distributions import Gumbel, Independent, constraints

import vi
from vi.networks.base import Network
from vi.testing import NetworkLaws
from vi.testing.quadrature import expectation


@pytest.mark.usefixtures("float64")
def test_a_density_that_underflows_has_an_integral_and_a_gradient():
    """exp(-exp(-x)): the gradient of the far tail was 0 times infinity."""
    loc = torch.zeros(2, 1, requires_grad=True)
    p = Independent(Gumbel(loc, torch.ones(2, 1), validate_args=False), 1)
    assert (expectation(p, constraints.real) - 1).abs().max() <= 1e-9
    mean = expectation(p, constraints.real, lambda x: x[..., 0])
    assert mean.tolist() == pytest.approx([0.5772156649015329] * 2)
    assert torch.autograd.grad(mean.sum(), loc)[0].tolist() == [[pytest.approx(1.0)]] * 2


class TestEncoderOfImages(NetworkLaws):
    """A network that reads only images is a VAE's encoder, beside another decoder."""

    shapes = (((1, 8, 8), (4,)), ((3, 9, 7), (2, 3)))

    def make(self) -> Network:
        return vi.ConvEncoder([4, 4])

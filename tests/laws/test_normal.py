"""A single draw of a Gaussian is torch's, without a sample axis to sum its gradient over."""

import pytest
import torch
from torch.distributions import Normal as TorchNormal

from vi.distributions.normal import Normal


@pytest.mark.parametrize("sample_shape", [(), (1,), (1, 1), (3,)])
@pytest.mark.parametrize("of_scale", [(4, 2), (2,)], ids=["as large", "smaller"])
def test_draws_and_their_gradients_are_those_of_torch(sample_shape, of_scale):
    loc, scale = torch.randn(4, 2), torch.rand(of_scale)
    found = []
    for family in (Normal, TorchNormal):
        torch.manual_seed(0)
        m, s = loc.clone().requires_grad_(), scale.clone().requires_grad_()
        z = family(m, s.expand(4, 2)).rsample(torch.Size(sample_shape))
        found.append([z, *torch.autograd.grad((z**2).sum(), [m, s])])
    for ours, torchs in zip(*found, strict=True):
        assert ours.shape == torchs.shape
        assert (ours - torchs).abs().max() <= 1e-12


def test_one_draw_is_not_broadcast():
    """One draw has no sample axis. Caught: a gradient that is summed over an axis of one."""
    m, s = torch.zeros(4, 2, requires_grad=True), torch.ones(4, 2, requires_grad=True)
    z = Normal(m, s).rsample((1,))
    with torch.profiler.profile() as profile:
        torch.autograd.grad(z, [m, s], torch.ones_like(z))
    names = {event.name for event in profile.events()}
    assert "aten::mul" in names
    assert "aten::sum" not in names

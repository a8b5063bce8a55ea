"""Logistics rounded to a grid, and their mixtures: laws beyond those of every likelihood."""

import pytest
import torch
from torch.autograd import gradcheck

import vi
from tests.support.oracles import standard_error
from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.channels import LinkedChannels
from vi.distributions.observed import Observed
from vi.distributions.protocols import EstimatedMoments
from vi.testing.quadrature import expectation


def _grid(levels, **like):
    return torch.arange(levels + 1, **like) / levels


def _head(make, event_shape, **arguments):
    head = make(**arguments)
    head.set_event_shape(event_shape)
    return head


def test_a_bin_is_a_difference_of_the_distribution_function():
    """P equals F(b) - F(a) where that difference has digits: at most 1e-12.

    Caught: half a bin off.
    """
    loc, scale = torch.rand(50, 1), torch.rand(50, 1) + 0.05
    x, half = _grid(8)[None], 0.5 / 8
    upper = ((x + half - loc) / scale).sigmoid()
    lower = ((x - half - loc) / scale).sigmoid()
    upper[:, -1], lower[:, 0] = 1.0, 0.0
    p = BinnedLogistic(loc, scale, 8).log_prob(x).exp()
    assert (p - (upper - lower)).abs().max() <= 1e-12


@pytest.mark.parametrize("levels", [1, 2, 255])
@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1e-2, 1.0, 1e30])
def test_sums_to_one_at_any_scale(levels, scale):
    """Probabilities add up to 1 for any loc, with finite logarithms and gradients: at most 1e-12.

    Caught: edges of neighbours that differ by rounding; a probability clamped at 1e-12; the
    logarithm of a difference.
    """
    loc = torch.tensor([[-3.0], [0.0], [0.5], [0.501], [1.0], [40.0]], requires_grad=True)
    spread = torch.full_like(loc, scale).detach().requires_grad_()
    log_p = BinnedLogistic(loc, spread, levels).log_prob(_grid(levels))
    assert log_p.isfinite().all()
    assert (log_p.exp().sum(-1) - 1).abs().max() <= 1e-12
    gradients = torch.autograd.grad(log_p.clamp_min(-1e9).sum(), (loc, spread))
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("scale", [3e-3, 0.1, 10.0, 1e4])
def test_single_precision_follows_double(scale):
    """float32 agrees with float64 over all 256 bins, even distant ones: at most 1e-5 relative.

    Caught: 1 - exp(-d) for -expm1(-d).
    """
    loc = torch.tensor([[0.0], [0.25], [0.75]])
    double = BinnedLogistic(loc, torch.full_like(loc, scale), 255).log_prob(_grid(255))
    x = _grid(255, dtype=torch.float32)
    p = BinnedLogistic(loc.float(), torch.full_like(loc, scale).float(), 255)
    error = (p.log_prob(x).double() - double) / double.abs().clamp_min(1.0)
    assert error.abs().max() <= 1e-5


def test_moments_are_those_of_the_sum():
    """Mean and variance equal the sums over all bins: at most 1e-12."""
    p = BinnedLogistic(torch.rand(20), torch.rand(20) + 0.01, 7)
    x = _grid(7)[:, None]
    probabilities = p.log_prob(x).exp()
    mean = (probabilities * x).sum(0)
    assert (p.mean - mean).abs().max() <= 1e-12
    assert (p.variance - (probabilities * (x - mean).square()).sum(0)).abs().max() <= 1e-12


@pytest.mark.parametrize("make", [vi.DiscretisedLogistic, vi.DiscretisedLogisticMixture])
def test_draws_lie_on_the_grid(make):
    """Draws lie on the grid, and their frequencies match P within 4 s.e.

    100 000 draws, seed 0, 24 numbers.
    """
    head = _head(make, (2,), levels=3)
    p = head(torch.randn(3, *head.out_shape))
    x = p.sample((100_000,))
    assert head.support.check(x).all()
    for k in range(4):
        hits = (x == k / 3).double()
        probability = p.base_dist.log_prob(torch.full((3, 2), k / 3)).exp()
        assert ((hits.mean(0) - probability).abs() <= 4 * standard_error(hits)).all()


def test_a_mixture_of_one_is_its_component():
    """A mixture of one component is that component, with the same parameters: at most 1e-12."""
    one = _head(vi.DiscretisedLogistic, (2, 3, 4))
    mixture = _head(vi.DiscretisedLogisticMixture, (2, 3, 4), num_components=1)
    params = torch.randn(5, *one.out_shape)
    x = one(params).sample()
    with_weights = torch.cat([torch.randn(5, 2, 3, 4), params], 1)
    assert (one(params).log_prob(x) - mixture(with_weights).log_prob(x)).abs().max() <= 1e-12


def test_components_begin_apart():
    head = _head(vi.DiscretisedLogisticMixture, (1,), num_components=4)
    loc = head(torch.zeros(head.out_shape)).base_dist.components.loc
    assert loc.tolist() == [[0.125, 0.375, 0.625, 0.875]]


# ---- colours ---------------------------------------------------------------------------


def _colours(levels=3, size=(3, 1, 1), num_components=2):
    arguments = {"num_components": num_components, "levels": levels}
    head = _head(vi.DiscretisedLogisticMixture, size, **arguments)
    return head, head(torch.randn(4, *head.out_shape))


def _states(levels):
    return torch.cartesian_prod(*[_grid(levels)] * 3)


def test_the_channels_of_a_pixel_sum_to_one_together():
    """P over all 512 colours of 8 levels adds up to 1: at most 1e-12."""
    _, p = _colours(levels=7)
    total = p.log_prob(_states(7)[:, None, :, None, None]).exp().sum(0)
    assert (p.event_shape, p.batch_shape) == ((3, 1, 1), (4,))
    assert (total - 1).abs().max() <= 1e-12


def test_a_pixel_is_the_product_of_its_conditionals():
    """P(r) P(g|r) P(b|r, g) with one component, written out: at most 1e-12.

    Caught: green shifted with blue's link.
    """
    loc, scale, links = torch.rand(6, 3), torch.rand(6, 3) + 0.1, 2 * torch.rand(6, 3) - 1
    red, green, blue = x = torch.rand(3, 6).mul(5).round() / 5
    of = lambda n, shift: BinnedLogistic(loc[:, n] + shift, scale[:, n], 5)
    by_hand = (
        of(0, 0.0).log_prob(red)
        + of(1, links[:, 0] * red).log_prob(green)
        + of(2, links[:, 1] * red + links[:, 2] * green).log_prob(blue)
    )
    whole = LinkedChannels(loc, scale, links, 5).log_prob(x.mT)
    assert (whole - by_hand).abs().max() <= 1e-12


def test_pixels_are_independent_and_in_their_places():
    """log p of 2 x 2 pixels is the sum over the pixels with their own parameters: at most 1e-12.

    Caught: height and width swapped.
    """
    head, _ = _colours(levels=3, size=(3, 2, 2))
    alone = _head(vi.DiscretisedLogisticMixture, (3, 1, 1), num_components=2, levels=3)
    params = torch.randn(4, *head.out_shape)
    x = head(params).sample()
    total = sum(
        alone(params[..., i : i + 1, j : j + 1]).log_prob(x[..., i : i + 1, j : j + 1])
        for i in range(2)
        for j in range(2)
    )
    assert (head(params).log_prob(x) - total).abs().max() <= 1e-12


def test_colours_are_drawn_as_often_as_they_say():
    """Frequencies of 8 colours in 4 pixels over 100 000 draws: within 4.5 s.e. (1 in 4 500)."""
    head, p = _colours(levels=1)
    x = p.sample((100_000,))
    assert x.shape == (100_000, 4, 3, 1, 1)
    assert head.support.check(x).all()
    for state in _states(1):
        hits = (x.flatten(-3) == state).all(-1).double()
        probability = p.log_prob(state[:, None, None]).exp()
        assert ((hits.mean(0) - probability).abs() <= 4.5 * standard_error(hits)).all()


def test_estimated_moments_are_near_the_exact_ones():
    """By enumeration over 8 levels: the mean within 0.05, the spread within a third.

    The distribution declares that its moments are estimates.
    """
    loc, scale = 0.2 + 0.6 * torch.rand(20, 3), 0.02 + 0.05 * torch.rand(20, 3)
    p = LinkedChannels(loc, scale, torch.rand(20, 3) - 0.5, 7)
    states = _states(7)[:, None]
    weight = p.log_prob(states).exp()[..., None]
    mean = (weight * states).sum(0)
    variance = (weight * (states - mean).square()).sum(0)
    assert isinstance(p, EstimatedMoments)
    assert (p.mean - mean).abs().max() <= 0.05
    assert ((p.variance - variance) / variance).abs().max() <= 0.34


def test_gradcheck_of_colours():
    """Gradients of log p agree with finite differences. Caught: detached links."""
    head, p = _colours()
    x, params = p.sample(), torch.randn(4, *head.out_shape, requires_grad=True)
    assert gradcheck(lambda params: head(params).log_prob(x), (params,))


@pytest.mark.parametrize("make", [vi.DiscretisedLogistic, vi.DiscretisedLogisticMixture])
@pytest.mark.parametrize("event_shape", [(6,), (3, 2, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_outputs_of_a_network(make, event_shape, dtype):
    """+-100 in any output: finite log p and gradients. Caught: a scale of e^-100."""
    head = _head(make, event_shape)
    signs = torch.randint(0, 2, (50, *head.out_shape)) * 2.0 - 1
    params = (100 * signs).to(dtype).requires_grad_()
    x = (torch.rand(50, *event_shape).mul(255).round() / 255).to(dtype)
    log_p = head(params).log_prob(x)
    assert log_p.isfinite().all()
    assert torch.autograd.grad(log_p.sum(), params)[0].isfinite().all()


def test_missing_entries_leave_the_grey_one():
    head = _head(vi.DiscretisedLogisticMixture, (3,), levels=3)
    p, observed = head(torch.randn(6, *head.out_shape)), torch.tensor([True, False, True])
    x = p.sample().where(observed, torch.nan)
    kept = p.base_dist.log_prob(x.nan_to_num())[..., [0, 2]].sum(-1)
    assert torch.allclose(Observed(p, observed).log_prob(x), kept, rtol=1e-12)


def test_learns_a_bimodal_pixel():
    """A mixture of two models bright and dark pixels better than one logistic, by 0.5 nats."""
    x = torch.tensor([0.1, 0.9]).mul(15).round().div(15).repeat(20)[:, None]
    ends = []
    for make in (vi.DiscretisedLogistic, vi.DiscretisedLogisticMixture):
        head = _head(make, (1,), levels=15)
        params = torch.zeros(head.out_shape, requires_grad=True)
        optimizer = torch.optim.Adam([params], lr=0.3)
        for _ in range(50):
            optimizer.zero_grad()
            (-head(params).log_prob(x).mean()).backward()
            optimizer.step()
        ends.append(head(params).log_prob(x).mean().item())
    assert ends[1] > ends[0] + 0.5
    assert ends[1] > -1.2  # log 2 and a little


def test_sums_over_a_coarse_grid_in_two_dimensions():
    """The mixture adds up to 1 over all 16 states of two entries: at most 1e-12."""
    head = _head(vi.DiscretisedLogisticMixture, (2,), levels=3)
    p = head(torch.randn(3, *head.out_shape))
    assert (expectation(p, head.support) - 1).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["levels", "floor", "num_components"])
def test_refuses_by_name(name):
    with pytest.raises(vi.ConfigurationError, match=name):
        vi.DiscretisedLogisticMixture(**{name: 0})

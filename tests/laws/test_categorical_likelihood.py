"""Categories on a grid: laws beyond those of every likelihood."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent

import vi
from tests.support.oracles import standard_error
from vi.distributions.grid_categorical import GridCategorical
from vi.distributions.observed import Observed
from vi.testing.quadrature import expectation


def _head(event_shape, num_categories=5, levels=1):
    head = vi.Categorical(num_categories, levels)
    head.set_event_shape(event_shape)
    return head


@pytest.mark.parametrize("event_shape", [(), (4,), (3, 2), (2, 3, 4)], ids=str)
def test_the_logits_of_an_entry_are_where_a_network_would_put_them(event_shape):
    """Category k of an image is a block of channels: equal to torch's own, at most 1e-12.

    Caught: categories and channels in the other order.
    """
    head = _head(event_shape, levels=4)
    params = torch.randn(7, *head.out_shape)
    x = head(params).sample()
    channels = (event_shape or (1,))[0]
    logits = params.reshape(7, 5, channels, *event_shape[1:]).movedim(1, -1)
    logits = logits.reshape(7, *event_shape, 5)
    reference = Independent(Categorical(logits=logits), len(event_shape)).log_prob(4 * x)
    assert (head(params).log_prob(x) - reference).abs().max() <= 1e-12


@pytest.mark.parametrize("levels", [1, 4])
def test_five_categories_sum_to_one_and_draw_as_they_say(levels):
    """Probabilities add up to 1 within 1e-12, and frequencies match them within 4 s.e.

    100 000 draws, 10 numbers, seed 0.
    """
    head = _head((2,), levels=levels)
    p = head(torch.randn(3, *head.out_shape))
    assert (expectation(p, head.support) - 1).abs().max() <= 1e-12
    for k in range(5):
        hits = (p.sample((100_000,)) == k / levels).double()
        probability = p.base_dist.log_probs[..., k].exp()
        assert ((hits.mean(0) - probability).abs() <= 4 * standard_error(hits)).all()


def test_moments_are_those_of_the_sum():
    head = _head((1,), levels=4)
    p = head(torch.randn(6, *head.out_shape))
    mean = expectation(p, head.support, lambda x: x[..., 0])
    square = expectation(p, head.support, lambda x: (x[..., 0] - mean).square())
    assert torch.allclose(p.mean[..., 0], mean, rtol=1e-12)
    assert torch.allclose(p.variance[..., 0], square, rtol=1e-12)


def test_two_categories_are_a_bernoulli():
    """With logits (0, l) log p is that of a Bernoulli: at most 1e-12 apart."""
    bits, two = vi.Bernoulli(), _head((4,), num_categories=2)
    bits.set_event_shape((4,))
    logits = torch.randn(6, 4)
    x = bits(logits).sample()
    both = torch.cat([torch.zeros(6, 4), logits], -1)
    assert (two(both).log_prob(x) - bits(logits).log_prob(x)).abs().max() <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype):
    """Logits of +-100 give finite values, and a category of probability e^-200 is never drawn."""
    logits = torch.tensor([-100.0, 100.0, 100.0, -100.0], dtype=dtype)
    p = GridCategorical(logits)
    log_p = p.log_prob(torch.arange(4.0, dtype=dtype))
    expected = torch.tensor([-200.0, 0.0, 0.0, -200.0], dtype=dtype) - math.log(2)
    assert torch.allclose(log_p, expected)
    drawn = p.sample((200_000,))
    assert drawn.dtype == dtype
    assert drawn.unique().tolist() == [1.0, 2.0]


def test_the_last_uniform_number_gives_a_category_that_can_be(monkeypatch):
    """The largest uniform number draws a category of positive probability.

    Caught: index C, or a category of probability 0, where u times the total rounds up.
    """
    for u in (0.0, 1 - 2**-53):
        monkeypatch.setattr(torch, "rand", lambda shape, u=u, **kw: torch.full(shape, u, **kw))
        p = GridCategorical(torch.tensor([[-1e9, 0.3, 0.1, 0.2, -1e9]]).repeat(6, 1))
        assert set(p.sample((3,)).flatten().tolist()) <= {1.0, 2.0, 3.0}


def test_a_datum_is_drawn_from_its_own_noise():
    """Each entry uses one uniform number, so the first rows of a larger batch are drawn alike."""
    logits = torch.randn(7, 2, 5)
    draws = []
    for n in (7, 3):
        torch.manual_seed(3)
        draws.append(GridCategorical(logits[:n]).sample()[:3])
    assert torch.equal(*draws)


def test_single_precision_follows_double():
    """float32 agrees with float64 over 256 categories: at most 1e-5 relative."""
    head = _head((1, 4, 4), 256, 255)
    params = 3 * torch.randn(20, *head.out_shape)
    x = head(params).sample()
    double = head(params).log_prob(x)
    single = head(params.float()).log_prob(x.float())
    assert ((single.double() - double) / double).abs().max() <= 1e-5


def test_missing_entries_leave_it():
    head = _head((3,))
    params = torch.randn(6, *head.out_shape)
    observed = torch.tensor([True, False, True])
    x = head(params).sample().where(observed, torch.nan)
    kept = head(params).base_dist.log_prob(x.nan_to_num())[..., [0, 2]].sum(-1)
    assert torch.allclose(Observed(head(params), observed).log_prob(x), kept, rtol=1e-12)


def test_a_category_out_of_range_is_no_number():
    with pytest.raises(RuntimeError, match="out of bounds"):
        _head((1,))(torch.zeros(5)).log_prob(torch.tensor([7.0]))


def test_says_what_it_needs():
    assert vi.Categorical(5).needs == "the integers 0 .. 4"
    assert vi.Categorical(256, 255).needs == "k/255 with k in 0 .. 255"
    assert vi.Categorical(256, 255).support.check(torch.tensor([1.0, 128 / 255])).all()


@pytest.mark.parametrize(("arguments", "name"), [((1,), "num_categories"), ((3, 0), "levels")])
def test_refuses_by_name(arguments, name):
    with pytest.raises(vi.ConfigurationError, match=name):
        vi.Categorical(*arguments)

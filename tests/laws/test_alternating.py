"""Alternating E- and M-steps, and when a phase ends."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch.optim import Adam

import vi
from tests.support.schemes import D, N, batches, phases, ready, same, take
from vi.schemes.plateau import Plateau


@pytest.fixture
def x():
    return torch.randn(N, D)


@pytest.mark.parametrize(("e_steps", "m_steps"), [(1, 1), (3, 2)])
def test_alternating_is_two_adams_by_hand(small_vae, x, e_steps, m_steps):
    """Bit for bit over 12 steps, each on a batch of its own.

    Caught: the cycle begun with an M-step.
    """
    model, bound = small_vae(), vi.ELBO(2)
    by_hand = copy.deepcopy(model)
    adam = partial(Adam, lr=0.02)
    scheme, optimizers = ready(vi.Alternating(e_steps, m_steps, optimizer=adam), model, bound)
    seen = list(itertools.islice(batches(x), 12))
    take(scheme, optimizers, bound, model, seen)
    phi = adam(by_hand.inference.own_parameters())
    theta = adam(by_hand.generative_parameters())
    turns = itertools.cycle([phi] * e_steps + [theta] * m_steps)
    for step, (batch, optimizer) in enumerate(zip(seen, turns, strict=False)):
        torch.manual_seed(7 + step)
        by_hand.zero_grad()
        (-bound(by_hand, batch.x).value.mean()).backward()
        optimizer.step()
    assert same(model, by_hand)


def test_a_phase_without_a_number_ends_when_the_bound_stops_rising(small_vae, x):
    """Windows of two: -5, -4 and -4.5 end it; the next phase begins with no memory.

    Caught: a total that goes on from window to window; windows that go on into the next phase.
    """
    values = [-6, -4, -5, -3, -4, -5, 0.0, -9, -9, -8, -10, 0, -9, -9]
    scheme = vi.Alternating(e_steps=None, m_steps=1, window=2)
    assert phases(scheme, values, small_vae, x) == "eeeeeemeeeemee"
    both = vi.Alternating(e_steps=2, m_steps=None, window=1, max_steps=3)
    assert phases(both, [0, 0, 1, 2, 3, 4, 5, 6, 5, 0], small_vae, x) == "eemmmeemme"


@pytest.mark.parametrize("window", [1, 3])
def test_rising_is_what_its_sentence_says(window):
    """The first n = m w whose window has no higher mean than the one before, or the limit."""
    for _ in range(50):
        values = torch.randn(40).cumsum(0) / 20 + torch.arange(40) / 40
        means = values.unfold(0, window, window).mean(1)
        falls = [m for m in range(1, len(means)) if means[m] <= means[m - 1]]
        expected = min([(m + 1) * window for m in falls] + [20])
        plateau = Plateau(window, limit=20)
        assert next(n for n, v in enumerate(values, 1) if plateau.stopped(v)) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"e_steps": 0},
        {"m_steps": -1},
        {"window": 0},
        {"max_steps": 0},
        {"gradient_clip_norm": 0.0},
    ],
)
def test_alternating_refuses_numbers_that_cannot_be(wrong):
    with pytest.raises(vi.ConfigurationError, match="must be greater than 0"):
        vi.Alternating(**wrong)

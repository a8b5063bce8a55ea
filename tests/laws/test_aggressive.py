"""The aggressive scheme: E-steps while they pay, then one M-step, at last joint steps."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam

import vi
from tests.support.schemes import D, Entered, N, batches, flat, phases, ready, take


@pytest.fixture
def x():
    return torch.randn(N, D)


def test_aggressive_takes_e_steps_while_they_pay_and_then_one_m_step(small_vae, x):
    """Caught: windows that go on across the M-step; no end at the limit."""
    values = [-5, -4, -5, 0, -9, -8, -7, -6, 0, -1]
    assert phases(vi.Aggressive(window=1, max_e_steps=4), values, small_vae, x) == "eeemeeeeme"


def test_aggressive_joins_when_the_information_stops_growing(small_vae, x, monkeypatch):
    """It is measured once there were as many M-steps as an epoch has batches: here after the
    2nd, 4th and 6th epoch of one E-step and one M-step in turn; then come joint steps.

    Caught: measured every epoch; joint steps before the first comparison.
    """
    measured = iter([0.1, 0.2, 0.2])
    monkeypatch.setattr("vi.schemes.aggressive.mutual_information", lambda *_: next(measured))
    model, bound = small_vae(), vi.ELBO()
    scheme, optimizers = ready(vi.Aggressive(max_e_steps=1, window=1), model, bound)
    scheme.ledger = phases = Entered()
    take(scheme, optimizers, bound, model, itertools.islice(batches(x), 21))
    assert "".join(phases) == "em" * 9 + "jjj"
    assert next(measured, None) is None


def test_joint_steps_of_aggressive_move_both(small_vae, x):
    """As two Adams on one loss. Caught: two forward passes, each with its noise."""
    model, bound = small_vae(), vi.ELBO()
    by_hand = copy.deepcopy(model)
    scheme, optimizers = ready(vi.Aggressive(), model, bound)
    scheme.aggressive = False
    seen = list(itertools.islice(batches(x), 4))
    take(scheme, optimizers, bound, model, seen)
    optimizer = Adam(by_hand.parameters())
    for step, batch in enumerate(seen):
        torch.manual_seed(7 + step)
        optimizer.zero_grad()
        (-bound(by_hand, batch.x).value.mean()).backward()
        optimizer.step()
    torch.testing.assert_close([*model.parameters()], [*by_hand.parameters()], rtol=0, atol=1e-12)


def test_joint_steps_of_aggressive_clip_phi_and_theta_apart(small_vae, x):
    """Each moves by 1e-3. Caught: one norm for both together."""
    model, bound = small_vae(), vi.ELBO()
    scheme = vi.Aggressive(optimizer=partial(SGD, lr=1.0), gradient_clip_norm=1e-3)
    scheme, optimizers = ready(scheme, model, bound)
    scheme.aggressive = False
    groups = model.inference.own_parameters(), model.generative_parameters()
    before = [flat(group) for group in groups]
    take(scheme, optimizers, bound, model, itertools.islice(batches(x), 1))
    norms = [(flat(g) - b).norm().item() for g, b in zip(groups, before, strict=True)]
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-4)

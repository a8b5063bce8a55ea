"""What a step costs, in rows of the encoder and of the decoder."""

import itertools

import pytest
import torch

import vi
from tests.support.schemes import SIZE, D, N, batches, ready, take
from vi.evaluations import Evaluations, tallied


@pytest.fixture
def x():
    return torch.randn(N, D)


def _cost(scheme, model, x, bound, steps=1):
    spent = Evaluations()
    scheme, optimizers = ready(scheme, model, bound, len(x))
    with tallied(spent):
        take(scheme, optimizers, bound, model, itertools.islice(batches(x), steps))
    return spent.encoder / SIZE, spent.decoder / SIZE


def test_evaluations_are_what_arithmetic_says(small_vae, x):
    """Rows of encoder and decoder per datum of a step; T = 4 refinements, K = 3 draws.

    Caught: the rows of a batch counted once for all draws.
    """
    refinement, k = vi.GradientAscent(num_steps=4, num_draws=3), vi.ELBO(3)
    cost = lambda scheme, steps=1: _cost(scheme, small_vae(), x, k, steps)
    assert cost(vi.Joint()) == (1, 3)
    assert cost(vi.Alternating(2, 1), steps=6) == (6, 18)
    assert cost(vi.Aggressive(), steps=2) == (2, 6)
    assert cost(vi.SemiAmortised(refinement)) == (1, 5 * 3)
    assert cost(vi.SemiAmortised(refinement, through=False)) == (1, 6 * 3)
    assert cost(vi.SVI(refinement)) == (1 / SIZE, 5 * 3)  # one datum tells the shape of lambda
    assert cost(vi.SVI(refinement), steps=2) == (1 / SIZE, 2 * 5 * 3)
    assert cost(vi.WakeSleep()) == (2, 3 + 1)
    assert cost(vi.ReweightedWakeSleep(num_samples=5)) == (2, 3 + 5)
    assert cost(vi.ReweightedWakeSleep(num_samples=5, sleep_weight=0.5)) == (3, 3 + 5 + 1)


def test_the_posterior_of_an_exact_model_is_its_encoder(x):
    """One row a datum, and no decoder."""
    assert _cost(vi.ExactEM(), vi.PPCA((D,), 2), x, vi.ELBO(), steps=2) == (2, 0)


def test_counting_leaves_the_model_as_it_was(small_vae, x):
    """Also where the block ends with an error. Caught: wrappers that stay."""
    model, spent = small_vae(), Evaluations()
    before = dict(vars(model))

    def ask():
        with tallied(spent):
            model.posterior(x)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        ask()
    assert vars(model) == before
    model.posterior(x)
    assert spent == Evaluations(encoder=N, decoder=0)


def test_to_look_on_costs_nothing(small_vae, x):
    """What is asked in evaluation mode, as the ledger does. Caught: its measurements counted."""
    model, spent = small_vae(), Evaluations()
    with tallied(spent):
        vi.ELBO()(model.eval(), x)
        vi.ELBO(3)(model.train(), x)
    assert spent == Evaluations(encoder=N, decoder=3 * N)

"""The ledger: E-steps and M-steps share out what was won, to the last digit."""

import pytest
import torch

import vi
from tests.support.inference import amortized
from tests.support.oracles import SigmaPoints
from vi.data.base import Batch
from vi.schemes.base import Context
from vi.schemes.ledger import Ledger

N, D, Z, SIZE = 20, 5, 2, 5


class _SigmaFullGaussian(vi.FullGaussian):
    """With draws that are sigma points: no bound of a linear Gaussian has noise."""

    def forward(self, params):
        q = super().forward(params)
        return SigmaPoints(q.loc, scale_tril=q.scale_tril)


@pytest.fixture
def model():
    """PPCA at random, with a linear encoder and a full-covariance q."""
    exact = vi.PPCA((D,), Z)
    with torch.no_grad():
        exact.weight.normal_()
    return amortized(exact, vi.MLP([]), _SigmaFullGaussian(Z))


@pytest.fixture
def x(model):
    return model.sample(N)


BOUND = vi.ELBO(2 * Z)


def elbo(scheme, model, x):
    """Of the data under the q that belongs to the scheme, in nats per datum."""
    with torch.no_grad():
        inferred = scheme.inference(model, BOUND, torch.arange(len(x)))
        return BOUND(inferred, x).value.mean().item()


def watched(scheme, model, x):
    """The scheme with a ledger, and a way to take one step of it."""
    scheme.num_data = len(x)
    optimizers, _ = scheme.configure(model, BOUND)
    scheme.ledger = Ledger(lambda: elbo(scheme, model, x))
    rows = torch.arange(len(x)).split(SIZE)

    def step(n):
        batch = Batch(x[rows[n % len(rows)]], {}, rows[n % len(rows)])
        scheme.step(Context(model, BOUND, optimizers), batch)

    return scheme, step


ASCENT = vi.GradientAscent(num_steps=3, num_draws=2 * Z)
SCHEMES = {
    "joint": vi.Joint,
    "alternating": lambda: vi.Alternating(2, 1),
    "aggressive": lambda: vi.Aggressive(window=1, max_e_steps=2),
    "wake_sleep": vi.WakeSleep,
    "reweighted_wake_sleep": lambda: vi.ReweightedWakeSleep(2 * Z),
    "semi_amortised": lambda: vi.SemiAmortised(ASCENT),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_phases_add_up_to_what_the_elbo_gained(model, x, name):
    """Over three epochs of 7 steps, each closed: at most 1e-12.

    Caught: the level forgotten between two epochs; the last phase left open.
    """
    scheme, step = watched(SCHEMES[name](), model, x)
    for epoch in range(3):
        before = elbo(scheme, model, x)
        for n in range(7 * epoch, 7 * epoch + 7):
            step(n)
        won = scheme.ledger.close()
        assert sum(won.values()) == pytest.approx(elbo(scheme, model, x) - before, abs=1e-12)
        split = {phase for phase, nats in won.items() if nats}
        assert split == ({"joint"} if name in ("joint", "semi_amortised") else {"e", "m"})


def test_the_table_of_svi_wins_in_e_steps(model, x):
    """Phases add up once the table stands; the E-step is the refinement of lambda.

    Caught: the table written after the M-step was entered.
    """
    scheme, step = watched(vi.SVI(ASCENT), model, x)
    step(0)
    scheme.ledger.close()
    before = elbo(scheme, model, x)
    for n in range(1, 8):
        step(n)
    won = scheme.ledger.close()
    assert won["e"] > 0
    assert sum(won.values()) == pytest.approx(elbo(scheme, model, x) - before, abs=1e-12)


def test_an_e_step_wins_the_fall_of_the_gap(model, x):
    """At fixed theta ELBO = log p(x) - KL(q || p(z|x)), so the gain is what the KL lost: 1e-10.

    An M-step at fixed phi wins the rise of log p(x) less the growth of the KL. The KL comes from
    the exact posterior in closed form. Caught: E and M exchanged.
    """
    scheme, step = watched(vi.Alternating(1, 1), model, x)
    for n in range(8):
        gap, evidence = model.gap(x).mean().item(), model.log_evidence(x).mean().item()
        step(n)
        won = scheme.ledger.close()
        narrower = gap - model.gap(x).mean().item()
        higher = model.log_evidence(x).mean().item() - evidence
        mine, other = ("m", "e") if n % 2 else ("e", "m")
        assert won[other] == 0
        assert won[mine] == pytest.approx(higher + narrower, abs=1e-10)
        if mine == "e":
            assert higher == 0
            assert won["e"] == pytest.approx(narrower, abs=1e-10)


def test_nothing_is_measured_within_a_phase():
    """One measurement for each change of phase, one at each close. Caught: one for each step."""
    levels = iter(range(100))
    ledger = Ledger(lambda: float(next(levels) ** 2))
    for phase in ("e", "e", "e", "m", "m", "e"):
        ledger.enter(phase)
    assert ledger.close() == {"e": 1.0 + 5.0, "m": 3.0, "joint": 0.0}
    ledger.enter("e")
    assert ledger.close() == {"e": 7.0, "m": 0.0, "joint": 0.0}
    assert next(levels) == 5


@pytest.mark.parametrize("size", [N, 7])
@pytest.mark.parametrize("make", [vi.ExactEM, vi.IncrementalEM])
def test_exact_steps_know_what_they_won(model, x, size, make):
    """From one E-step on all data to the next, E and M win the rise of log p(x): at most 1e-12.

    No measurement is made, and no phase of maximum likelihood ever loses. Caught: the sum over
    data in place of the mean; log p(theta) counted as won.
    """
    exact, scheme = vi.PPCA((D,), Z), make(tolerance=0.0)
    exact.initialize(x)
    with torch.no_grad():  # away from where it starts, which is where EM would end
        for parameter in exact.parameters():
            parameter.mul_(0.8)
    scheme.ledger = Ledger(lambda: pytest.fail("measured"))
    rows = torch.arange(N).split(size)
    levels, won = [], []
    for _ in range(6):
        levels.append(exact.log_evidence(x).mean().item())
        for i in rows:
            batch = Batch(x[i], {}, i)
            scheme.step(Context(exact, BOUND), batch)
        scheme.end_epoch(BOUND, exact, batch)
        won.append(scheme.ledger.close())
    assert all(nats >= -1e-12 for row in won for nats in row.values())
    assert all(row["joint"] == 0 for row in won)
    assert won[0]["e"] == 0  # there was no q before
    total = sum(row["e"] + row["m"] for row in won)
    end = scheme.monitor.free_energy / N
    assert total == pytest.approx(end - levels[0], abs=1e-12)
    assert total > 1e-3
    if make is vi.ExactEM:
        rises = [b - a for a, b in zip(levels, levels[1:], strict=False)]
        pairs = [m["m"] + e["e"] for m, e in zip(won, won[1:], strict=False)]
        assert pairs == pytest.approx(rises, abs=1e-12)


def test_a_prior_is_no_gain(x):
    """The ledger counts nats of the data: F without log p(theta), which EM also climbs.

    Caught: the watched objective handed to the ledger.
    """
    exact = vi.GMM((D,), 2, vi.Full(prior_count=3.0))
    exact.initialize(x)
    scheme = vi.ExactEM()
    scheme.ledger = Ledger(lambda: pytest.fail("measured"))
    levels, won = [], []
    for _ in range(4):
        levels.append(exact.log_evidence(x).mean().item())
        batch = Batch(x, {}, torch.arange(N))
        scheme.step(Context(exact, BOUND), batch)
        scheme.end_epoch(BOUND, exact, batch)
        won.append(scheme.ledger.close())
    pairs = [m["m"] + e["e"] for m, e in zip(won, won[1:], strict=False)]
    rises = [b - a for a, b in zip(levels, levels[1:], strict=False)]
    assert pairs == pytest.approx(rises, abs=1e-12)

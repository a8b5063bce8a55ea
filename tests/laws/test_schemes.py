"""The schemes: who moves when, for how long, and what it costs."""

import copy
import io
import itertools
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.parts import part
from vi.bounds.base import Estimate
from vi.cli.compose import composed
from vi.config.build import build
from vi.config.registry import options
from vi.config.run import Run
from vi.data.base import Batch
from vi.evaluations import Evaluations, tallied
from vi.schemes.base import Context
from vi.schemes.gradient import GradientScheme
from vi.schemes.plateau import Plateau

N, D, SIZE = 12, 6, 4


@cache
def _config() -> dict[str, Any]:
    return composed("train", ["optimizer.lr=0.05"], Run)


def recipe(option: str, **values):
    """Makes the scheme of a yaml, with its optimiser, schedule and refinement."""
    make = partial(build, "scheme", {**part("scheme", option), **values}, defaults=_config())
    return lambda: make()


RECIPES = {option: recipe(option) for option in options("scheme")}
GRADIENT = {k: make for k, make in RECIPES.items() if isinstance(make(), GradientScheme)}
EXACT = {k: make for k, make in RECIPES.items() if k not in GRADIENT}
# Those with more to remember than the yaml's values make them.
LONGER = {
    "alternating_3_2": recipe("alternating", e_steps=3, m_steps=2),
    "alternating_rising": recipe("alternating", e_steps=None, m_steps=None, window=2),
    "aggressive_short": recipe("aggressive", window=2, max_e_steps=5),
    "sleep_and_wake": recipe("reweighted_wake_sleep", sleep_weight=0.5),
}


def batches(x):
    """Batches of four without end, in a fixed order."""
    return (Batch(x[i], {}, i) for i in itertools.cycle(torch.arange(len(x)).split(SIZE)))


def ready(scheme, model, bound, num_data=N):
    """The scheme, told what it trains, and its optimisers."""
    scheme.num_data = num_data
    return scheme, scheme.configure(model, bound)[0]


def take(scheme, optimizers, bound, model, seen, first=0, seed=7):
    """Steps with the noise of (seed, step), and the end of an epoch after every third."""
    estimates = []
    for step, batch in enumerate(seen, start=first):
        torch.manual_seed(seed + step)
        estimates.append(scheme.step(Context(model, bound, optimizers), batch))
        if (step + 1) % (N // SIZE) == 0:
            scheme.end_epoch(bound, model, batch)
    return estimates


def flat(parameters):
    return nn.utils.parameters_to_vector(parameters).detach().clone()


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.fixture
def x():
    return torch.randn(N, D)


class Entered(list):
    """In place of a ledger: the initials of the phases."""

    def enter(self, phase):
        self.append(phase[0])


class Watch:
    """In place of a ledger: what moved in the phases."""

    def __init__(self, model):
        self.model, self.phase, self.moved = model, None, []
        self._look()

    def _look(self):
        self.phi = flat(self.model.inference.own_parameters())
        self.theta = flat(self.model.generative_parameters())

    def enter(self, phase):
        self.settle()
        self.phase = phase

    def settle(self):
        phi, theta = self.phi, self.theta
        self._look()
        moved = (not torch.equal(phi, self.phi), not torch.equal(theta, self.theta))
        self.moved.append((self.phase, *moved))


# All schemes of gradient steps


@pytest.mark.parametrize("make", [*GRADIENT.values(), *LONGER.values()], ids=[*GRADIENT, *LONGER])
def test_e_steps_leave_theta_and_m_steps_leave_phi(make, small_vae, x):
    """Bit-equal over 15 steps, requires_grad as before, (B,) values; optimisers move their own.

    Caught: an E-step that freezes nothing and steps both; phi left frozen after an M-step.
    """
    model, bound = small_vae(), vi.ELBO()
    scheme, optimizers = ready(make(), model, bound)
    start = [flat(group["params"]) for o in optimizers for group in o.param_groups]
    scheme.ledger = watch = Watch(model)
    for estimate in take(scheme, optimizers, bound, model, itertools.islice(batches(x), 15)):
        assert estimate.value.shape == estimate.surrogate.shape == (SIZE,)
        assert all(term.shape == (SIZE,) for term in estimate.terms.values())
        watch.settle()
    assert all(p.requires_grad for p in model.parameters())
    for phase, phi, theta in watch.moved:
        assert not (phase in (None, "e") and theta)
        assert not (phase in (None, "m") and phi)
    ends = [flat(group["params"]) for o in optimizers for group in o.param_groups]
    moved = [not torch.equal(a, b) for a, b in zip(start, ends, strict=True)]
    assert moved == [len(o.state) > 0 for o in optimizers]


@pytest.mark.parametrize("make", [*GRADIENT.values(), *LONGER.values()], ids=[*GRADIENT, *LONGER])
@pytest.mark.parametrize("cut", [4, 5])
def test_a_gradient_scheme_goes_on_from_its_state(make, small_vae, x, cut):
    """Bit for bit, through a file that holds plain values and tensors only.

    Caught: the window of the rising bound forgotten; the turn kept, but not the steps taken in it.
    """
    model, bound = small_vae(), vi.ELBO()
    scheme, optimizers = ready(make(), model, bound)
    seen = list(itertools.islice(batches(x), 11))
    take(scheme, optimizers, bound, model, seen[:cut])
    again = copy.deepcopy(model)
    resumed, others = ready(make(), again, bound)
    for one, other in zip(optimizers, others, strict=True):
        other.load_state_dict(copy.deepcopy(one.state_dict()))
    resumed.load_state_dict(_through_a_file(scheme.state_dict()))
    take(scheme, optimizers, bound, model, seen[cut:], first=cut)
    take(resumed, others, bound, again, seen[cut:], first=cut)
    assert same(model, again)


def _through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("option", [k for k in GRADIENT if k not in ("joint", "svi")])
def test_a_failed_bound_leaves_no_parameter_frozen(option, small_vae, x):
    """Caught: requires_grad restored only where nothing was raised."""

    class Failing(vi.ELBO):
        def forward(self, model, x, **given):
            raise ArithmeticError

    model = small_vae()
    scheme, optimizers = ready(GRADIENT[option](), model, Failing())
    with pytest.raises(ArithmeticError):
        take(scheme, optimizers, Failing(), model, itertools.islice(batches(x), 1))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("option", GRADIENT)
def test_clipping_holds_the_norm_of_each_group(option, small_vae, x):
    """With SGD of rate 1 every step is minus the gradient: norm 1e-3. Caught: both optimisers
    stepped in an E-step, of which one does not move.
    """
    model, bound = small_vae(), vi.ELBO()
    scheme = GRADIENT[option]()
    scheme = type(scheme)(
        **scheme.arguments | {"optimizer": partial(SGD, lr=1.0), "gradient_clip_norm": 1e-3}
    )
    scheme, optimizers = ready(scheme, model, bound)
    groups = [[p for g in o.param_groups for p in g["params"]] for o in optimizers]
    for group, optimizer in zip(groups, optimizers, strict=True):
        optimizer.register_step_pre_hook(lambda o, *_, g=group: moves.update({id(o): flat(g)}))
        optimizer.register_step_post_hook(
            lambda o, *_, g=group: norms.append((flat(g) - moves[id(o)]).norm().item())
        )
    moves, norms = {}, []
    take(scheme, optimizers, bound, model, itertools.islice(batches(x), 3))
    assert len(norms) >= 3
    assert norms == pytest.approx([1e-3] * len(norms), rel=1e-4)  # torch adds 1e-6 to the norm


@pytest.mark.parametrize("option", GRADIENT)
def test_every_optimiser_has_a_schedule(option, small_vae):
    """Caught: a schedule for the first optimiser only."""
    scheme = GRADIENT[option]()
    scheme = type(scheme)(**scheme.arguments | {"schedule": partial(ExponentialLR, gamma=0.5)})
    optimizers, schedules = scheme.configure(small_vae(), vi.ELBO())
    for optimizer in optimizers:
        optimizer.step()
    for schedule in schedules:
        schedule.step()
    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.025] * len(optimizers)


@pytest.mark.parametrize("option", GRADIENT)
def test_a_model_without_an_encoder_is_refused(option):
    """Exit 2, and the hint names what works; unless one optimiser moves all there is.

    Caught: an optimiser without parameters, which torch refuses with a ValueError of its own.
    """
    model, scheme = vi.PPCA((D,), 2), GRADIENT[option]()
    if not scheme.needs_encoder:
        (optimizer,), _ = scheme.configure(model, vi.ELBO())
        moved = [p for group in optimizer.param_groups for p in group["params"]]
        assert {*map(id, moved)} == {*map(id, model.parameters())}
        return
    with pytest.raises(vi.ConfigurationError, match="PPCA has no encoder") as caught:
        scheme.configure(model, vi.ELBO())
    assert caught.value.exit_code == 2
    assert "scheme=exact_em" in caught.value.hint


# Alternating


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


class Scripted(vi.Bound):
    """Says what is written, and is climbed as the ELBO."""

    def __init__(self, values):
        super().__init__()
        self.values = iter(values)

    def forward(self, model, x, **given):
        surrogate = vi.ELBO()(model, x, **given).surrogate
        return Estimate(torch.full((len(x),), float(next(self.values))), surrogate, {})


def _phases(scheme, values, small_vae, x):
    """The phases of as many steps as there are values."""
    model, bound = small_vae(), Scripted(values)
    scheme, optimizers = ready(scheme, model, bound)
    scheme.ledger = entered = Entered()
    take(scheme, optimizers, bound, model, itertools.islice(batches(x), len(values)))
    return "".join(entered)


def test_a_phase_without_a_number_ends_when_the_bound_stops_rising(small_vae, x):
    """Windows of two: -5, -4 and -4.5 end it; the next phase begins with no memory.

    Caught: a total that goes on from window to window; windows that go on into the next phase.
    """
    values = [-6, -4, -5, -3, -4, -5, 0.0, -9, -9, -8, -10, 0, -9, -9]
    scheme = vi.Alternating(e_steps=None, m_steps=1, window=2)
    assert _phases(scheme, values, small_vae, x) == "eeeeeemeeeemee"
    both = vi.Alternating(e_steps=2, m_steps=None, window=1, max_steps=3)
    assert _phases(both, [0, 0, 1, 2, 3, 4, 5, 6, 5, 0], small_vae, x) == "eemmmeemme"


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


# Aggressive


def test_aggressive_takes_e_steps_while_they_pay_and_then_one_m_step(small_vae, x):
    """Caught: windows that go on across the M-step; no end at the limit."""
    values = [-5, -4, -5, 0, -9, -8, -7, -6, 0, -1]
    assert _phases(vi.Aggressive(window=1, max_e_steps=4), values, small_vae, x) == "eeemeeeeme"


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


# What a step costs


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

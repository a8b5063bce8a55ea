"""All schemes: who moves when, and how they go on."""

import copy
import io
import itertools
from functools import partial

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.schemes import (
    GRADIENT,
    LONGER,
    SIZE,
    D,
    N,
    Watch,
    batches,
    flat,
    ready,
    same,
    take,
)


@pytest.fixture
def x():
    return torch.randn(N, D)


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

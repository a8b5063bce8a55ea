"""A run ends where its evaluations are spent, however many steps a call of Lightning takes."""

from functools import cache, partial

import pytest
import torch

import vi
from tests.support.boundaries import ASCENT, MARKS, N, run, still
from tests.support.tiny import mixture, vae

pytestmark = MARKS

SPENDING = {
    "joint": (vae, vi.Joint),
    "alternating": (vae, vi.Alternating),
    "wake_sleep": (vae, partial(vi.ReweightedWakeSleep, 3)),
    "svi": (vae, lambda: vi.SVI(ASCENT, fit_factor=2)),
    "exact_em": (mixture, lambda: vi.ExactEM(0.0)),
}


@pytest.fixture(scope="module")
def per_epoch(tmp_path_factory):
    """name -> evaluations in an epoch."""

    @cache
    def spent(name):
        net, make = SPENDING[name]
        one = run(tmp_path_factory.mktemp("epoch"), net, make(), given=still(), epochs=1)
        return one.watch.evaluations[-1]

    return spent


@pytest.mark.parametrize(("name", "period"), [*((name, 50) for name in SPENDING), ("joint", 3)])
def test_a_run_ends_where_its_evaluations_are_spent(tmp_path, per_epoch, name, period):
    """At the first step that reaches the limit, which lies within a call and within an epoch.

    Caught: a call that is finished first, from the end or from the next step that is logged.
    """
    net, make = SPENDING[name]
    limit = 1.41 * per_epoch(name)
    options = {"max_evaluations": limit / N, "steps_per_call": 50}
    one = run(tmp_path, net, make(), given=still(), log_every_n_steps=period, **options)
    *before, last = one.watch.evaluations
    assert before[-1] < limit <= last
    assert one.result.metrics["train/steps"] == len(one.watch.evaluations) == 20
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 20

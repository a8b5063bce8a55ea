"""Schemes by their yaml, and steps that they take."""

import itertools
from functools import cache, partial
from typing import Any

import torch
from torch import nn

import vi
from tests.support.parts import part
from vi.bounds.base import Estimate
from vi.cli.composing.compose import composed
from vi.config.build import build
from vi.config.registry import options
from vi.config.run import Run
from vi.data.base import Batch
from vi.schemes.base import Context
from vi.schemes.gradient import GradientScheme

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


class Scripted(vi.Bound):
    """Says what is written, and is climbed as the ELBO."""

    def __init__(self, values):
        super().__init__()
        self.values = iter(values)

    def forward(self, model, x, **given):
        surrogate = vi.ELBO()(model, x, **given).surrogate
        return Estimate(torch.full((len(x),), float(next(self.values))), surrogate, {})


def phases(scheme, values, small_vae, x):
    """The phases of as many steps as there are values."""
    model, bound = small_vae(), Scripted(values)
    scheme, optimizers = ready(scheme, model, bound)
    scheme.ledger = entered = Entered()
    take(scheme, optimizers, bound, model, itertools.islice(batches(x), len(values)))
    return "".join(entered)

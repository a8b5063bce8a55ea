"""The joint scheme: a step is the step that one would write by hand."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import StepLR

import vi
from vi.bounds.base import Estimate
from vi.distributions.kl import closed_form_kl
from vi.schemes.base import Context


def _step(scheme, bound, model, seen, times=1):
    optimizers, _ = scheme.configure(model, bound)
    for _ in range(times):
        estimate = scheme.step(Context(model, bound, optimizers), seen)
    return estimate


def test_two_steps_are_two_steps_of_sgd_by_hand(small_vae, data, batch):
    """Bit for bit, with the bound written out.

    Caught: gradients not set to zero between steps, the sum over the batch in place of the mean,
    a step downhill.
    """
    model = small_vae()
    by_hand = copy.deepcopy(model)
    torch.manual_seed(7)
    _step(vi.Joint(lambda p: SGD(p, lr=0.01)), vi.ELBO(3), model, batch(data), times=2)
    torch.manual_seed(7)
    for _ in range(2):
        q = by_hand.posterior(data)
        z = q.rsample((3,))
        elbo = by_hand.likelihood(z).log_prob(data).mean(0) - closed_form_kl(q, by_hand.prior())
        parameters = list(by_hand.parameters())
        gradients = torch.autograd.grad(-elbo.mean(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.add_(gradient, alpha=-0.01)
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_step_reports_the_estimate_before_it(small_vae, data, batch):
    model = small_vae()
    torch.manual_seed(7)
    before = vi.IWAE(3)(model, data).value
    torch.manual_seed(7)
    after = _step(vi.Joint(lambda p: SGD(p, lr=0.01)), vi.IWAE(3), model, batch(data))
    assert torch.equal(after.value, before)


def _move(scheme, model, seen) -> torch.Tensor:
    """How far the parameters move in one step."""
    before = nn.utils.parameters_to_vector(model.parameters()).clone()
    torch.manual_seed(7)
    _step(scheme, vi.ELBO(), model, seen)
    return nn.utils.parameters_to_vector(model.parameters()).detach() - before.detach()


def test_clipping_holds_the_norm_and_keeps_the_direction(small_vae, data, batch):
    """With SGD of rate 1 a step is minus the gradient: norm c to 1e-6 (torch adds 1e-6).

    Caught: each parameter clipped on its own, and values clipped in place of the norm.
    """
    model = small_vae()
    sgd = lambda p: SGD(p, lr=1.0)
    free = _move(vi.Joint(sgd), copy.deepcopy(model), batch(data))
    held = _move(vi.Joint(sgd, gradient_clip_norm=0.01), copy.deepcopy(model), batch(data))
    loose = _move(vi.Joint(sgd, gradient_clip_norm=1e6), copy.deepcopy(model), batch(data))
    assert free.norm() > 1
    assert held.norm().item() == pytest.approx(0.01, rel=1e-5)
    assert nn.functional.cosine_similarity(held, free, 0).item() == pytest.approx(1, abs=1e-10)
    assert torch.equal(loose, free)


class _Learned(vi.Bound):
    """A bound with a parameter of its own, and a surrogate that is not its value."""

    def __init__(self):
        super().__init__()
        self.baseline = nn.Parameter(torch.zeros(()))

    def forward(self, model, x, **given):
        value = vi.ELBO()(model, x, **given).value
        surrogate = 0 * value - (self.baseline - 1) ** 2
        return Estimate(value, surrogate, {})


def test_the_surrogate_is_climbed_and_the_bound_learns_too(small_vae, data, batch):
    """Caught: the value differentiated; the parameters of the bound left out."""
    model, bound = small_vae(), _Learned()
    move = lambda: _step(vi.Joint(lambda p: SGD(p, lr=0.5)), bound, model, batch(data))
    before = [p.clone() for p in model.parameters()]
    move()
    assert bound.baseline.item() == pytest.approx(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_given_arrives(small_vae, data, batch):
    model = small_vae(context_dim=3)
    seen = batch(data, context=torch.randn(50, 3))
    assert _step(vi.Joint(), vi.ELBO(), model, seen).value.shape == (50,)


def test_configure(small_vae):
    """Adam unless told otherwise, no schedule unless asked for, and the one that was asked for."""
    model = small_vae()
    (optimizer,), schedules = vi.Joint().configure(model, vi.ELBO())
    assert isinstance(optimizer, Adam)
    assert schedules == []
    (optimizer,), (schedule,) = vi.Joint(
        lambda p: SGD(p, lr=0.1), lambda o: StepLR(o, step_size=1, gamma=0.5)
    ).configure(model, vi.ELBO())
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_training_climbs(small_vae, data, batch):
    """200 steps of Adam raise the ELBO of 50 data by more than a nat. Caught: a step downhill."""
    model, bound = small_vae(), vi.ELBO(8)
    before = bound(model, data).value.mean().item()
    _step(vi.Joint(lambda p: Adam(p, lr=0.02)), bound, model, batch(data), times=200)
    after = bound(model, data).value.mean().item()
    assert math.isfinite(after)
    assert after > before + 1

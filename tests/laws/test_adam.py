"""The optimisers compute what torch's compute, to the bit."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vi.optimizers.adam import Adam
from vi.optimizers.adam_w import AdamW

PAIRS = [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1, "betas": (0.7, 0.9), "eps": 1e-3},
    {"maximize": True},
    {"amsgrad": True},
    {"fused": False},
]


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (5,), (), (2, 1, 4)]
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def give_gradients(params: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)


def assert_same(ours: Any, torchs: Any) -> None:
    """Parameters and everything that the next step starts from."""
    states = [optimizer.state_dict()["state"].values() for optimizer in (ours, torchs)]
    for a, b in zip(*states, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    for group, other in zip(ours.param_groups, torchs.param_groups, strict=True):
        assert all(map(torch.equal, group["params"], other["params"]))


def run(make: Callable[..., Any], **settings: Any) -> Any:
    """Thirty steps of two groups, the rate of one falling; gradients are sometimes missing."""
    params = parameters()
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.3}]
    optimizer = make(groups, lr=0.01, **{"fused": True} | settings)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for step in range(30):
        give_gradients(params, step)
        if step % 7 == 3:
            params[step % 4].grad = None
        optimizer.step()
        schedule.step()
    return optimizer


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_thirty_steps(ours, torchs, settings):
    """Caught: a counter that is not advanced, the decay of the other class, one rate for all."""
    assert_same(run(ours, **settings), run(torchs, **settings))


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(ours, torchs, dtype):
    def stepped(make: Callable[..., Any]) -> Any:
        params = [*parameters(dtype), *parameters()]
        optimizer = make(params, fused=True)
        for step in range(4):
            give_gradients(params, step)
            optimizer.step()
        return optimizer

    assert_same(stepped(ours), stepped(torchs))


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
def test_either_goes_on_from_the_other(ours, torchs):
    """Both ways; moments that were replaced are those that the next step uses.

    From a copy, as a file gives one: two optimisers of torch on one state move each other's.
    """
    ended = []
    for first, second in [(ours, torchs), (torchs, ours), (torchs, torchs)]:
        before = run(first)
        params = [p for group in before.param_groups for p in group["params"]]
        after = second([{"params": params[:2]}, {"params": params[2:]}], fused=True)
        for _ in range(2):
            after.load_state_dict(deepcopy(before.state_dict()))
            give_gradients(params, 99)
            after.step()
        ended.append(after)
    assert_same(ended[0], ended[2])
    assert_same(ended[1], ended[2])


def test_it_goes_straight_to_the_kernel(monkeypatch):
    """From the second step on; else the other laws would compare torch with torch."""
    params = parameters()
    optimizer = Adam(params, fused=True)
    give_gradients(params, 0)
    optimizer.step()
    monkeypatch.setattr("vi.optimizers.adam._torchs_step", None)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert not any(map(torch.equal, params, before))


def test_hooks_are_called_once_a_step():
    """In torch's step and in ours. Caught: the hooks of torch's step inside those of ours."""
    params = parameters()
    torch.optim.Adam(params)  # from here on the class of torch calls hooks
    optimizer, called = Adam(params, fused=True), []
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    give_gradients(params, 0)
    optimizer.step()
    optimizer.step()
    assert called == ["before", "after"] * 2


def test_a_closure_is_evaluated_with_gradients():
    params = parameters()
    optimizer = Adam(params, fused=True)

    def closure() -> Tensor:
        loss = sum((p.square().sum() for p in params), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses == sorted(losses, reverse=True)


def test_counters_are_those_of_their_own_parameters():
    """Two rest in the fourth step. Caught: counters of all in one tensor, also then."""
    params = parameters()
    optimizer = Adam(params, fused=True)
    for step in range(5):
        give_gradients(params, step)
        optimizer.param_groups[0]["params"] = params[:2] if step == 3 else params
        optimizer.step()
    assert [int(optimizer.state[p]["step"]) for p in params] == [5, 5, 4, 4]

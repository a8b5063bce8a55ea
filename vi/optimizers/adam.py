"""torch's Adam, without the work that its fused step repeats every time."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam as TorchAdam

_COUPLED: Callable[..., None] = torch.ops.aten._fused_adam_.default
_DECOUPLED: Callable[..., None] = torch.ops.aten._fused_adamw_.default
_ONE = torch.ones(())


class Adam(TorchAdam):
    """``torch.optim.Adam``, identical to the bit, that calls its fused CPU kernel directly.

    In every step torch sorts the parameters by device and type, and makes a tensor for every
    counter. This takes half a millisecond, while a training step of a small network takes ten.
    Unusual cases are passed to torch: another device, a closure, a parameter without gradient, the
    first step.

    Without weight decay, with g the gradient, m and v its averages and t the step,

        m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,
        theta <- theta - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).

    Reference: Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step of all groups; return the value of the closure, if there is one."""
        value, ordinary = None, closure is None and all(map(self._is_ordinary, self.param_groups))
        if ordinary:
            for group in self.param_groups:
                self._step(group)
        else:
            value = _torchs_step()(self, closure)
            for group in filter(self._is_ordinary, self.param_groups):
                self._counters(group)
        return value

    def _is_ordinary(self, group: dict[str, Any]) -> bool:
        """Whether the direct call of the kernel does what torch's step would for this group."""
        params: list[Tensor] = group["params"]
        return (
            bool(group["fused"])
            and not (group["amsgrad"] or group["capturable"])
            and all(p.is_cpu and p.grad is not None and self.state.get(p) for p in params)
        )

    def _counters(self, group: dict[str, Any]) -> Tensor:
        """Return the step counts of all parameters as one tensor; the states hold views of it."""
        states = [self.state[p] for p in group["params"]]
        counters: Tensor | None = states[0]["step"]._base
        if (
            counters is None
            or any(state["step"]._base is not counters for state in states)
            or len(counters) != len(states)
        ):
            counters = torch.stack([state["step"] for state in states])
            for state, counter in zip(states, counters, strict=True):
                state["step"] = counter
        return counters

    def _step(self, group: dict[str, Any]) -> None:
        """Step one group: increment the counters and call the fused kernel."""
        params: list[Tensor] = group["params"]
        states = [self.state[p] for p in params]
        beta1, beta2 = group["betas"]
        self._counters(group).add_(_ONE)
        kernel = _DECOUPLED if group["decoupled_weight_decay"] else _COUPLED
        kernel(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def _torchs_step() -> Callable[..., Any]:
    """Return torch's step without its hooks, which already surround the step that calls it."""
    return inspect.unwrap(TorchAdam.step, stop=lambda f: not hasattr(f, "hooked"))

"""The products of linear layers in the fastest of three ways, found out once for each size.

torch multiplies single-precision matrices on the processor with MKL. oneDNN comes along with torch
and is up to twice as fast where MKL does not use what the processor can do, and slower elsewhere.
MKL itself takes up to a sixth less time where the result is laid out by columns, which nobody sees
between the layers of a network. Which way wins is measured when a product of that size is first
asked for, in some milliseconds, and remembered for this user and this processor, so that a run
repeated computes the same bits.

Within ``torch.autocast`` to bf16 the factors of a large product are rounded while oneDNN reads
them, and what comes out has single precision: no weight and no gradient is copied.
"""

import contextlib
import json
import math
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from vi.cache import cache_file, remember

Library = Literal["auto", "torch"]

_SMALL = 1 << 22  # multiplications below which choosing would cost more than it could win
_LARGE = 1 << 23  # multiplications from which on products of bf16 are faster
_MARGIN = 0.97  # of the time of torch that another way may take at most
_OVERHEAD = 50e-6  # seconds that an own backward costs a layer in each step
_REPEATS = 10

_RECTIFIED_BACKWARD = torch.ops.aten.threshold_backward.grad_input
_ROUNDING: Any = getattr(torch.backends.mkldnn, "matmul", None)
_oneDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_library: Library = "auto"
_plans: dict[tuple[int, ...], "Plan"] = {}  # by rows, inputs, outputs and threads


class Plan(NamedTuple):
    """Which products of a linear layer oneDNN computes, and how those of torch are laid out."""

    inference: bool = False
    forward: bool = False
    of_input: bool = False
    of_weight: bool = False
    columns: bool = False  # what goes on into another layer, which oneDNN then does not compute


class Linear(nn.Linear):
    """y = x W' + b, as ``torch.nn.Linear``, forward and backward in the fastest way.

    The ways differ in the order of their sums: by about 1e-6 of the result.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(.., in_features) -> (.., out_features)."""
        if not applies(input, self.weight):
            return super().forward(input)
        x = input.flatten(0, -2)
        plan = _plan(len(x), self.weight)
        if torch.is_grad_enabled():
            if not any(plan[1:4]) and _factors() == torch.float32:
                return super().forward(input)
            y = layers(x, self.weight, self.bias)
        else:
            by_onednn, factors = plan.inference, _factors()
            with _own_precision():
                y = _product(x, self.weight, self.bias, by_onednn=by_onednn, factors=factors)
        return y.view(*input.shape[:-1], self.out_features)


@contextmanager
def products_by(library: Library) -> Iterator[None]:
    """Within this block ``auto`` takes the faster library, ``torch`` what torch takes itself."""
    global _library
    before, _library = _library, library
    try:
        yield
    finally:
        _library = before


def plans() -> dict[str, list[bool]]:
    """What was chosen for the sizes met in this process."""
    return {_name(size): list(plan) for size, plan in _plans.items()}


def adopt(plans: Mapping[str, Sequence[bool]]) -> None:
    """Choose as another process did: a resumed run computes what it would have computed."""
    _plans.update({_size(name): Plan(*plan) for name, plan in plans.items()})


def applies(x: Tensor, *weights: Tensor) -> bool:
    """Whether there is a choice to make when vectors x (.., D) meet these weights."""
    return (
        _library == "auto"
        and not torch.compiler.is_compiling()
        and math.prod(x.shape[:-1]) * max(w.numel() for w in weights) >= _SMALL
        and x.dim() > 1
        and all(t.dtype == torch.float32 and t.is_cpu for t in (x, *weights))
        and _oneDNN is not None
        and (not torch.is_autocast_enabled("cpu") or _factors() == torch.bfloat16)
        and not torch._C._are_functorch_transforms_active()
    )


def layers(x: Float[Tensor, "N D"], *parameters: Tensor | None) -> Float[Tensor, "N H"]:
    """y = W_n r(.. r(W_1 x + b_1) ..) + b_n of x, W_1, b_1, .., with r(a) = max(a, 0)."""
    factors = _factors()
    with _own_precision():
        return _Layers.apply(factors, x, *parameters)


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, factors: torch.dtype, x: Tensor, *parameters: Tensor | None) -> Tensor:
        weights = [weight for weight in parameters[::2] if weight is not None]
        ctx.plans, inputs = [_plan(len(x), weight) for weight in weights], []
        for i, (weight, bias) in enumerate(zip(weights, parameters[1::2], strict=True)):
            inputs.append(x.relu_() if i else x)
            columns = ctx.plans[i].columns and i < len(weights) - 1
            by_onednn = ctx.plans[i].forward
            x = _product(x, weight, bias, by_onednn=by_onednn, columns=columns, factors=factors)
        ctx.factors = factors
        ctx.save_for_backward(*inputs, *parameters)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (of_y,), plans, saved, factors = grads, ctx.plans, ctx.saved_tensors, ctx.factors
        needed = ctx.needs_input_grad[1:]
        inputs, parameters = saved[: len(plans)], saved[len(plans) :]
        if torch.is_grad_enabled():  # someone asks for a derivative of what is computed here
            return None, *_differentiable_backward(of_y, needed, inputs[0], *parameters)
        of_y, of_all = of_y.contiguous(), []
        for i in reversed(range(len(plans))):
            x, weight, plan = inputs[i], parameters[2 * i], plans[i]
            needs_weight, needs_bias = needed[2 * i + 1 : 2 * i + 3]
            of_all.append(of_y.sum(0) if needs_bias else None)
            of_all.append(
                _product(of_y.t(), x.t(), by_onednn=plan.of_weight, factors=factors)
                if needs_weight
                else None
            )
            if i or needed[0]:
                columns = i > 0 and plans[i - 1].columns  # as what goes into this layer
                by_onednn = plan.of_input
                of_y = _product(
                    of_y, weight.t(), by_onednn=by_onednn, columns=columns, factors=factors
                )
            if i:
                _RECTIFIED_BACKWARD(of_y, x, 0, grad_input=of_y)
        return None, of_y if needed[0] else None, *reversed(of_all)


def _differentiable_backward(
    of_y: Tensor, needed: tuple[bool, ...], *arguments: Tensor
) -> tuple[Tensor | None, ...]:
    y, *parameters = arguments
    for i in range(0, len(parameters), 2):
        y = linear(y.relu() if i else y, *parameters[i : i + 2])
    wanted = [a for a, n in zip(arguments, needed, strict=True) if n]
    found = iter(torch.autograd.grad(y, wanted, of_y, create_graph=True))
    return tuple(next(found) if n else None for n in needed)


def _product(
    a: Float[Tensor, "M K"],
    b: Float[Tensor, "N K"],
    bias: Float[Tensor, " N"] | None = None,
    *,
    by_onednn: bool,
    columns: bool = False,
    factors: torch.dtype = torch.float32,
) -> Float[Tensor, "M N"]:
    """a b' + bias."""
    multiply: Callable[[Tensor, Tensor], Tensor] = torch.mm
    if factors == torch.bfloat16 and len(a) * b.numel() >= _LARGE:
        multiply = torch.ops.vi.mm_of_bf16
    elif by_onednn and _oneDNN is not None and not columns:
        return _oneDNN(a, b, bias, "none", [], "")
    y = multiply(b, a.t()).t() if columns else multiply(a, b.t())
    return y if bias is None else y.add_(bias)  # torch would first fill y with the bias


def _factors() -> torch.dtype:
    """The precision of the factors of large products: that of ``torch.autocast``, if it can be."""
    on = torch.is_autocast_enabled("cpu") and _rounding_is_supported()
    return torch.get_autocast_dtype("cpu") if on else torch.float32


def _own_precision() -> AbstractContextManager[Any]:
    """Within this block nothing is cast: what is to be rounded is told apart."""
    on = torch.is_autocast_enabled("cpu")
    return torch.autocast("cpu", enabled=False) if on else nullcontext()


@cache
def _rounding_is_supported() -> bool:
    return hasattr(_ROUNDING, "fp32_precision") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class _FactorsOfBF16:
    """Within this block oneDNN rounds the factors of single-precision products."""

    def __enter__(self) -> None:
        self.before, _ROUNDING.fp32_precision = _ROUNDING.fp32_precision, "bf16"

    def __exit__(self, *_: Any) -> None:
        _ROUNDING.fp32_precision = self.before


def _mm_of_bf16(a: Tensor, b: Tensor) -> Tensor:
    with _FactorsOfBF16():
        return torch.mm(a, b)


# As one operation, so that whoever writes operations down sees that it is another product.
_OPERATIONS = torch.library.Library("vi", "FRAGMENT")
_OPERATIONS.define("mm_of_bf16(Tensor a, Tensor b) -> Tensor")
_OPERATIONS.impl("mm_of_bf16", _mm_of_bf16, "CPU")
WITHIN = {torch.ops.vi.mm_of_bf16.default: (torch.mm, _FactorsOfBF16())}
"""Operations of our own: what makes each of them, within a context that several can share."""


def _plan(rows: int, weight: Float[Tensor, "H D"]) -> Plan:
    """For a layer and batch of this size: what was measured here before, or a measurement."""
    if rows * weight.numel() < _SMALL:
        return Plan()
    size = (rows, *reversed(weight.shape), torch.get_num_threads())
    plan = _plans.get(size)
    if plan is None:
        known, name = _remembered(), _name(size)
        if name not in known:
            known[name] = _measured(rows, weight.detach())
            with contextlib.suppress(
                OSError, RuntimeError
            ):  # a memory that cannot be written is harmless
                remember(_memory(), json.dumps(known, indent=0))
        plan = _plans[size] = Plan(*known[name])
    return plan


def _name(size: tuple[int, ...]) -> str:
    return "{}x{}x{}, {} threads".format(*size)


def _size(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


@torch.no_grad()
def _measured(rows: int, weight: Float[Tensor, "H D"]) -> Plan:
    """oneDNN wherever it wins, if that is worth an own backward; columns where they win more."""
    x, of_y = (torch.linspace(-1, 1, rows * n).view(rows, n) for n in reversed(weight.shape))
    products = [(x, weight), (of_y, weight.t()), (of_y.t(), x.t())]
    with _own_precision():
        times = [_times(a, b) for a, b in products]
    wins = [ours < _MARGIN * torchs for torchs, ours, _ in times]
    won = sum(t[0] - t[1] for t, win in zip(times, wins, strict=True) if win)
    plan = Plan(wins[0], *(wins if won > _OVERHEAD else ()))
    return plan._replace(columns=times[0][2] < _MARGIN * times[0][plan.forward])


def _times(a: Tensor, b: Tensor) -> list[float]:
    """Seconds by torch, by oneDNN and by columns, the shortest of a few: others disturb least."""
    ways = (False, False), (True, False), (False, True)
    best = [math.inf] * len(ways)
    for _ in range(_REPEATS):
        for i, (by_onednn, columns) in enumerate(ways):
            started = time.perf_counter()
            _product(a, b, by_onednn=by_onednn, columns=columns)
            best[i] = min(best[i], time.perf_counter() - started)
    return best


@cache
def _remembered() -> dict[str, Sequence[bool]]:
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        return dict(json.loads(_memory().read_text(encoding="utf-8")))
    return {}


@cache
def _memory() -> Path:
    """One file for each processor and version of torch."""
    return cache_file("ways_of_products", f"{_processor()}-torch{torch.__version__}.json")


def _processor() -> str:
    """Its name, as far as it decides what is fast."""
    fields = ("model name", "cpu family", "model", "stepping")
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        told = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return "-".join(told.get(field, "") for field in fields).replace(" ", "_")
    return platform.processor() or platform.machine()

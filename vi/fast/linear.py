"""The products of linear layers in the fastest of three ways, found out once for each size.

torch multiplies single-precision matrices on the processor with MKL. oneDNN comes along with torch
and is up to twice as fast where MKL does not use what the processor can do, and slower elsewhere.
MKL itself takes up to a sixth less time where the result is laid out by columns, which nobody sees
between the layers of a network. Which way wins is measured when a product of that size is first
asked for; see ``plans``.

Within ``torch.autocast`` to bf16 torch computes, unless oneDNN is asked to round the factors of
large products while it reads them. What comes out then has single precision, and no weight and no
gradient is copied; but a permission to round is no order, and not every processor makes use of it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from vi.fast.plans import SMALL, Plans

_RECTIFIED_BACKWARD = torch.ops.aten.threshold_backward.grad_input
_ROUNDING: Any = getattr(torch.backends.mkldnn, "matmul", None)
_oneDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class Kernels:
    """What computes the linear layers of a session.

    Args:
        choosing: Whether each product is computed in the fastest way, or as torch does itself.
    """

    def __init__(self, *, choosing: bool = True) -> None:
        self.choosing = choosing and _oneDNN is not None
        self.plans = Plans(_single)
        self.round_by_onednn = False
        """Whether oneDNN rounds the factors of large products where autocast is on."""

    def applies(self, x: Tensor, *weights: Tensor) -> bool:
        """Whether there is a choice to make when vectors x (.., D) meet these weights."""
        return (
            self.choosing
            and not torch.compiler.is_compiling()
            and math.prod(x.shape[:-1]) * max(w.numel() for w in weights) >= SMALL
            and x.dim() > 1
            and all(t.dtype == torch.float32 and t.is_cpu for t in (x, *weights))
            and (not torch.is_autocast_enabled("cpu") or self.factors() == torch.bfloat16)
            and not torch._C._are_functorch_transforms_active()
        )

    def factors(self) -> torch.dtype:
        """What the factors of large products are rounded to: bf16, or not at all."""
        on = self.round_by_onednn and torch.is_autocast_enabled("cpu")
        return torch.get_autocast_dtype("cpu") if on else torch.float32

    @contextmanager
    def rounding(self, *, by_onednn: bool) -> Iterator[None]:
        """Within this block oneDNN rounds the factors of large products in autocast, or not."""
        before, self.round_by_onednn = self.round_by_onednn, by_onednn
        try:
            yield
        finally:
            self.round_by_onednn = before

    def linear(self, layer: nn.Linear, input: Tensor) -> Tensor:
        """y = x W' + b, forward and backward in the fastest way."""
        if not self.applies(input, layer.weight):
            return linear(input, layer.weight, layer.bias)
        x = input.flatten(0, -2)
        plan = self.plans.of(len(x), layer.weight)
        if torch.is_grad_enabled():
            if not any(plan[1:4]) and self.factors() == torch.float32:
                return linear(input, layer.weight, layer.bias)
            y = self.layers(x, layer.weight, layer.bias)
        else:
            by_onednn, factors = plan.inference, self.factors()
            with _own_precision():
                y = _product(x, layer.weight, layer.bias, by_onednn=by_onednn, factors=factors)
        return y.view(*input.shape[:-1], layer.out_features)

    def layers(self, x: Float[Tensor, "N D"], *parameters: Tensor | None) -> Float[Tensor, "N H"]:
        """y = W_n r(.. r(W_1 x + b_1) ..) + b_n of x, W_1, b_1, .., with r(a) = max(a, 0)."""
        factors = self.factors()
        with _own_precision():
            return _Layers.apply(self.plans, factors, x, *parameters)


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plans: Plans, factors: torch.dtype, x: Tensor, *parameters: Tensor | None
    ) -> Tensor:
        weights = [weight for weight in parameters[::2] if weight is not None]
        ctx.plans, inputs = [plans.of(len(x), weight) for weight in weights], []
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
        needed = ctx.needs_input_grad[2:]
        inputs, parameters = saved[: len(plans)], saved[len(plans) :]
        if torch.is_grad_enabled():  # someone asks for a derivative of what is computed here
            return None, None, *_differentiable_backward(of_y, needed, inputs[0], *parameters)
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
        return None, None, of_y if needed[0] else None, *reversed(of_all)


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
    if factors == torch.bfloat16 and len(a) * b.numel() >= SMALL:
        multiply = mm_of_bf16
    elif by_onednn and _oneDNN is not None and not columns:
        return _oneDNN(a, b, bias, "none", [], "")
    y = multiply(b, a.t()).t() if columns else multiply(a, b.t())
    return y if bias is None else y.add_(bias)  # torch would first fill y with the bias


def _own_precision() -> AbstractContextManager[Any]:
    """Within this block nothing is cast: what is to be rounded is told apart."""
    on = torch.is_autocast_enabled("cpu")
    return torch.autocast("cpu", enabled=False) if on else nullcontext()


def can_be_asked_to_round() -> bool:
    """Whether oneDNN can be; whether it then does is another question."""
    return hasattr(_ROUNDING, "fp32_precision") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class FactorsOfBF16:
    """Within this block oneDNN rounds the factors of single-precision products."""

    def __enter__(self) -> None:
        self.before, _ROUNDING.fp32_precision = _ROUNDING.fp32_precision, "bf16"

    def __exit__(self, *_: Any) -> None:
        _ROUNDING.fp32_precision = self.before


def are_factors_rounded() -> bool:
    """Whether oneDNN is asked to, here and now."""
    return getattr(_ROUNDING, "fp32_precision", "none") == "bf16"


def mm_of_bf16(a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> Float[Tensor, "M N"]:
    """a b, of factors that oneDNN was asked to round."""
    with FactorsOfBF16():
        return torch.mm(a, b)


def _single(a: Tensor, b: Tensor, *, by_onednn: bool, columns: bool = False) -> Tensor:
    with _own_precision():
        return _product(a, b, by_onednn=by_onednn, columns=columns)

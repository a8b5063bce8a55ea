"""Linear layers on the processor by the fastest of three kernels, measured for each size.

torch multiplies single-precision matrices on the processor with MKL. oneDNN is part of torch too;
it is up to twice as fast where MKL does not use all instructions of the processor, and slower
elsewhere. MKL itself takes up to a sixth less time if the result is stored by columns, which
makes no difference between the layers of a network. The fastest way is measured when a product of
a size is first computed; see ``plans``.

Within ``torch.autocast`` to bf16 torch computes, unless oneDNN is requested to round the factors
of large products while it reads them. The result is then in single precision, and no weight or
gradient is copied. oneDNN treats the request as a permission, and not every processor uses it.
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
    """The kernels of the linear layers of a session.

    Products of fewer than four million multiplications are left to torch:

    >>> layer, x = nn.Linear(3, 2), torch.ones(4, 3)
    >>> torch.equal(Kernels().linear(layer, x), layer(x))
    True

    Args:
        choosing: Whether each product uses the fastest way; otherwise torch's own.
    """

    def __init__(self, *, choosing: bool = True) -> None:
        self.choosing = choosing and _oneDNN is not None
        self.plans = Plans(_single)
        self.round_by_onednn = False
        """Whether oneDNN rounds the factors of large products where autocast is on."""

    def applies(self, x: Tensor, *weights: Tensor) -> bool:
        """Whether there is a choice of kernels for vectors x (.., D) and these weights (H, D).

        False for small products, for other types than single precision on a processor, and under
        compilation or function transforms.
        """
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
        """Return the type to which the factors of large products are rounded; float32 for none."""
        on = self.round_by_onednn and torch.is_autocast_enabled("cpu")
        return torch.get_autocast_dtype("cpu") if on else torch.float32

    @contextmanager
    def rounding(self, *, by_onednn: bool) -> Iterator[None]:
        """Set whether oneDNN rounds the factors of large products, in the ``with`` block."""
        before, self.round_by_onednn = self.round_by_onednn, by_onednn
        try:
            yield
        finally:
            self.round_by_onednn = before

    def linear(self, layer: nn.Linear, input: Tensor) -> Tensor:
        """Return y = x W' + b, computed forward and backward in the fastest way.

        Args:
            layer: The layer with W (H, D) and b (H,).
            input: x, (.., D).

        Returns:
            (.., H).
        """
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
        """Return W_n r(.. r(W_1 x + b_1) ..) + b_n for x, W_1, b_1, .., with r(a) = max(a, 0).

        The layers form a single node of the autograd graph, which saves the overhead of a node for
        each layer and each rectifier.
        """
        factors = self.factors()
        with _own_precision():
            return _Layers.apply(self.plans, factors, x, *parameters)


class _Layers(torch.autograd.Function):
    """Linear layers with rectifiers between them, as one node of the autograd graph.

    In the forward pass the rectified inputs of the layers are stored, in place. In the backward
    pass the gradient of a layer's output gives those of its bias (a sum), its weight and its input
    (a product each). If the gradient is itself differentiated, it is computed by torch's own
    layers.
    """

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
        if torch.is_grad_enabled():  # the gradient itself will be differentiated
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
                columns = i > 0 and plans[i - 1].columns  # the layout of this layer's input
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
    """Return the gradients as differentiable functions, by torch's own layers."""
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
    """Return a b' + bias.

    Args:
        a: (M, K).
        b: (N, K).
        bias: (N,).
        by_onednn: Whether oneDNN computes it; otherwise MKL.
        columns: Whether the result is stored by columns; then MKL computes it.
        factors: Type to which the factors of large products are rounded.
    """
    multiply: Callable[[Tensor, Tensor], Tensor] = torch.mm
    if factors == torch.bfloat16 and len(a) * b.numel() >= SMALL:
        multiply = mm_of_bf16
    elif by_onednn and _oneDNN is not None and not columns:
        return _oneDNN(a, b, bias, "none", [], "")
    y = multiply(b, a.t()).t() if columns else multiply(a, b.t())
    return y if bias is None else y.add_(bias)  # torch.addmm would first fill y with the bias


def _own_precision() -> AbstractContextManager[Any]:
    """Disable autocast inside the ``with`` block, as the kernels round explicitly."""
    on = torch.is_autocast_enabled("cpu")
    return torch.autocast("cpu", enabled=False) if on else nullcontext()


def can_be_asked_to_round() -> bool:
    """Whether oneDNN accepts the request to round to bf16; ``rounding`` checks that it does."""
    return hasattr(_ROUNDING, "fp32_precision") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class FactorsOfBF16:
    """Requests oneDNN to round the factors of single-precision products to bf16, as a context."""

    def __enter__(self) -> None:
        """Make the request."""
        self.before, _ROUNDING.fp32_precision = _ROUNDING.fp32_precision, "bf16"

    def __exit__(self, *_: Any) -> None:
        """Restore the setting."""
        _ROUNDING.fp32_precision = self.before


def are_factors_rounded() -> bool:
    """Whether the request is in force now."""
    return getattr(_ROUNDING, "fp32_precision", "none") == "bf16"


def mm_of_bf16(a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> Float[Tensor, "M N"]:
    """Return a b, with the request that oneDNN round the factors to bf16."""
    with FactorsOfBF16():
        return torch.mm(a, b)


def _single(a: Tensor, b: Tensor, *, by_onednn: bool, columns: bool = False) -> Tensor:
    """Return a b' in single precision, in one of the three ways; ``Plans`` measures it."""
    with _own_precision():
        return _product(a, b, by_onednn=by_onednn, columns=columns)

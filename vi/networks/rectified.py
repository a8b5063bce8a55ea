"""Linear layers with rectifiers between them, as one node of the graph."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from vi.networks.products import Linear, applies, plan_of, product


class Rectified(nn.Sequential):
    """Linear, ReLU, Linear, .., ReLU, Linear: what ``nn.Sequential`` computes, to the bit.

    Large layers are one function to autograd, where each layer and each rectifier would be a node:
    that is a twentieth of a step of ten milliseconds. A layer with hooks is called as it expects.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        layers = [layer for layer in self if isinstance(layer, Linear)]
        hooked = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in self)
        parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
        if hooked or not torch.is_grad_enabled() or not applies(input, *parameters[::2]):
            return super().forward(input)
        return _Layers.apply(input, *parameters)


class _Layers(torch.autograd.Function):
    """y = W_n r(.. r(W_1 x + b_1) ..) + b_n of x, W_1, b_1, .., with r(a) = max(a, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.plans, inputs = [], []
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            inputs.append(x.relu_() if inputs else x)
            ctx.plans.append(plan_of(x, weight))
            x = product(x, weight, bias, by_onednn=ctx.plans[-1].forward)
        ctx.save_for_backward(*inputs, *parameters)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (of_y,), plans, needed = grads, ctx.plans, ctx.needs_input_grad
        inputs, parameters = ctx.saved_tensors[: len(plans)], ctx.saved_tensors[len(plans) :]
        if torch.is_grad_enabled():  # someone asks for a derivative of what is computed here
            return _differentiable_backward(of_y, needed, inputs[0], *parameters)
        of_y, of_all = of_y.contiguous(), []
        for i in reversed(range(len(plans))):
            x, weight, plan = inputs[i], parameters[2 * i], plans[i]
            needs_weight, needs_bias = needed[2 * i + 1 : 2 * i + 3]
            of_all.append(of_y.sum(0) if needs_bias else None)
            by_onednn = plan.of_weight
            of_weight = product(of_y.t(), x.t(), by_onednn=by_onednn) if needs_weight else None
            of_all.append(of_weight)
            if i or needed[0]:
                of_y = product(of_y, weight.t(), by_onednn=plan.of_input)
            if i:
                of_y = torch.ops.aten.threshold_backward(of_y, x, 0)
        return of_y if needed[0] else None, *reversed(of_all)


def _differentiable_backward(
    of_y: Tensor, needed: tuple[bool, ...], *arguments: Tensor
) -> tuple[Tensor | None, ...]:
    y, *parameters = arguments
    for i in range(0, len(parameters), 2):
        y = linear(y.relu() if i else y, *parameters[i : i + 2])
    wanted = [a for a, n in zip(arguments, needed, strict=True) if n]
    found = iter(torch.autograd.grad(y, wanted, of_y, create_graph=True))
    return tuple(next(found) if n else None for n in needed)

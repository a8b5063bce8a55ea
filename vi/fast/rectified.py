"""Linear layers with rectifiers between them, as one node of the graph."""

import torch
from torch import Tensor, nn

from vi.fast.linear import Linear, applies, layers


class Rectified(nn.Sequential):
    """Linear, ReLU, Linear, .., ReLU, Linear: what ``nn.Sequential`` computes, up to rounding.

    Large layers are one function to autograd, where each layer and each rectifier would be a node:
    that is a twentieth of a step of ten milliseconds. A layer with hooks is called as it expects.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        linear = [layer for layer in self if isinstance(layer, Linear)]
        hooked = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in self)
        parameters = [p for layer in linear for p in (layer.weight, layer.bias)]
        if hooked or not torch.is_grad_enabled() or not applies(input, *parameters[::2]):
            return super().forward(input)
        return layers(input, *parameters)

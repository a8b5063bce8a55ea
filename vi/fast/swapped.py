"""Modules that compute otherwise while a session is open, and are the same objects."""

import copyreg
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vi.fast.doubled import doubled, is_doubling
from vi.fast.linear import Kernels
from vi.networks.images import Resize


class Swapped(nn.Module):
    """The same object with another ``forward``: its class is derived from its own for a while.

    So its parameters, hooks and keys stay as they are. A copy of it, or a file, has its own class.
    """

    plain: ClassVar[type[nn.Module]]

    def __reduce_ex__(self, protocol: Any) -> Any:
        _, _, *state = super().__reduce_ex__(protocol)
        return copyreg._reconstructor, (self.plain, object, None), *state  # pyright: ignore


class _Linear(Swapped):
    """y = x W' + b, forward and backward in the fastest way.

    The ways differ in the order of their sums: by about 1e-6 of the result.
    """

    kernels: ClassVar[Kernels]

    def forward(self, input: Tensor) -> Tensor:
        """(.., in_features) -> (.., out_features)."""
        return self.kernels.linear(self, input)  # pyright: ignore


class _Rectified(Swapped):
    """Linear, ReLU, Linear, .., ReLU, Linear: what ``nn.Sequential`` computes, up to rounding.

    Large layers are one function to autograd, where each layer and each rectifier would be a node:
    that is a twentieth of a step of ten milliseconds. A layer with hooks is called as it expects.
    """

    kernels: ClassVar[Kernels]

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        parts = [part for part in self._modules.values() if part is not None]
        linear = [layer for layer in parts if isinstance(layer, nn.Linear)]
        hooked = _is_hooked(*parts)
        parameters = [p for layer in linear for p in (layer.weight, layer.bias)]
        applies = self.kernels.applies
        if hooked or not torch.is_grad_enabled() or not applies(input, *parameters[::2]):
            return super().forward(input)
        return self.kernels.layers(input, *parameters)


class _Enlarging(Swapped):
    """Layers in order, of which some enlarge an image that a convolution reads.

    Where the size is doubled, both are one layer (see ``doubled``).
    """

    def forward(self, input: Tensor) -> Tensor:
        """What ``nn.Sequential`` computes, up to rounding."""
        layers = [part for part in self._modules.values() if part is not None]
        while layers:
            first, *rest = layers
            if rest and not _is_hooked(first, rest[0]) and is_doubling(first, rest[0], input):
                convolution, *rest = rest
                input = doubled(input, convolution.weight, convolution.bias)  # pyright: ignore
            else:
                input = first(input)
            layers = rest
        return input


def swaps(
    kernels: Kernels, modules: Iterable[nn.Module]
) -> "list[tuple[nn.Module, type[Swapped], dict[str, Any]]]":
    """What ``in_class`` needs so that modules compute by these kernels.

    Classes derived from torch's, and modules with a ``forward`` of their own, are left alone.
    """
    found = {id(part): part for module in modules for part in module.modules()}.values()
    kinds = [(part, _kind(part)) for part in found]
    return [(part, kind, {"kernels": kernels}) for part, kind in kinds if kind]


@contextmanager
def in_class(
    others: "Iterable[tuple[nn.Module, type[Swapped], dict[str, Any]]]",
) -> Iterator[None]:
    """Within this block each module is also of this class, with these attributes of the class."""
    made: dict[Any, type[nn.Module]] = {}
    before: list[tuple[nn.Module, type[nn.Module], type[nn.Module]]] = []
    try:
        for part, kind, attributes in others:
            own = type(part)
            ours = made.setdefault((own, kind), _derived(own, kind, attributes))
            before.append((part, own, ours))
            part.__class__ = ours
        yield
    finally:
        for part, own, ours in reversed(before):
            if type(part) is ours:  # else somebody else has given it another meanwhile
                part.__class__ = own


def _derived(
    own: type[nn.Module], kind: type[Swapped], attributes: dict[str, Any]
) -> type[nn.Module]:
    """By the same name: what is printed of a module does not change."""
    plain = own.plain if issubclass(own, Swapped) else own
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__}
    return type(own.__name__, (kind, own), {"plain": plain, **names, **attributes})


def _kind(part: nn.Module) -> type[Swapped] | None:
    if _is_plain(part, nn.Linear):
        return _Linear
    if not _is_plain(part, nn.Sequential):
        return None
    layers = list(part.children())
    if _is_rectified(layers):
        return _Rectified
    return _Enlarging if any(type(layer) is Resize for layer in layers) else None


def _is_rectified(layers: list[nn.Module]) -> bool:
    kinds = [nn.Linear, nn.ReLU]
    alternate = all(_is_plain(layer, kinds[i % 2]) for i, layer in enumerate(layers))
    return alternate and len(layers) % 2 == 1


def _is_hooked(*parts: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in parts)


def _is_plain(part: nn.Module, kind: type[nn.Module]) -> bool:
    return type(part) is kind and "forward" not in vars(part)

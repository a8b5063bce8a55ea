"""Modules whose ``forward`` is replaced while a session is open, without copying them."""

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
    """A module with another ``forward``, by a temporary change of its class to a derived one.

    The module remains the same object, with its parameters, hooks and keys. Copying or pickling it
    gives its original class.
    """

    plain: ClassVar[type[nn.Module]]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy as the original class."""
        _, _, *state = super().__reduce_ex__(protocol)
        return copyreg._reconstructor, (self.plain, object, None), *state  # pyright: ignore


class _Linear(Swapped):
    """y = x W' + b, forward and backward in the fastest way.

    The ways differ in the order of their sums, which changes the result by about 1e-6 of its size.
    """

    kernels: ClassVar[Kernels]

    def forward(self, input: Tensor) -> Tensor:
        """(.., in_features) -> (.., out_features)."""
        return self.kernels.linear(self, input)  # pyright: ignore


class _Rectified(Swapped):
    """Linear, ReLU, Linear, .., ReLU, Linear: the result of ``nn.Sequential``, up to rounding.

    Large layers are one node of the autograd graph, instead of a node for each layer and each
    rectifier, which saves a twentieth of a step of ten milliseconds. Layers with hooks are called
    one by one, so that their hooks run.
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
    """Layers in sequence, some of which enlarge an image for the convolution that follows.

    If the size is doubled, ``doubled`` computes both layers at once.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the result of ``nn.Sequential``, up to rounding."""
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
    """Return the arguments with which ``in_class`` makes modules compute by these kernels.

    Subclasses of torch's layers, and modules with their own ``forward`` attribute, are left
    unchanged.

    Args:
        kernels: The kernels of linear layers.
        modules: Modules whose submodules are searched.
    """
    found = {id(part): part for module in modules for part in module.modules()}.values()
    kinds = [(part, _kind(part)) for part in found]
    return [(part, kind, {"kernels": kernels}) for part, kind in kinds if kind]


@contextmanager
def in_class(
    others: "Iterable[tuple[nn.Module, type[Swapped], dict[str, Any]]]",
) -> Iterator[None]:
    """Give each module a class derived from its own and from this one, inside the ``with`` block.

    Changing the class of an object, instead of replacing the object, keeps everything that refers
    to it valid: parameters, hooks, keys of the state, and other modules.

    Args:
        others: Triples of a module, a class, and class attributes.

    >>> layer = nn.Linear(2, 3)
    >>> with in_class(swaps(Kernels(), [layer])):
    ...     isinstance(layer, Swapped), type(layer).__name__
    (True, 'Linear')
    >>> isinstance(layer, Swapped)
    False
    """
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
            if type(part) is ours:  # otherwise other code has changed the class meanwhile
                part.__class__ = own


def _derived(
    own: type[nn.Module], kind: type[Swapped], attributes: dict[str, Any]
) -> type[nn.Module]:
    """Make the derived class, with the name of the original, so that printing shows no change."""
    plain = own.plain if issubclass(own, Swapped) else own
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__}
    return type(own.__name__, (kind, own), {"plain": plain, **names, **attributes})


def _kind(part: nn.Module) -> type[Swapped] | None:
    """Return the class that speeds up a module, or None."""
    if _is_plain(part, nn.Linear):
        return _Linear
    if not _is_plain(part, nn.Sequential):
        return None
    layers = list(part.children())
    if _is_rectified(layers):
        return _Rectified
    return _Enlarging if any(type(layer) is Resize for layer in layers) else None


def _is_rectified(layers: list[nn.Module]) -> bool:
    """Whether the layers alternate between Linear and ReLU, from Linear to Linear."""
    kinds = [nn.Linear, nn.ReLU]
    alternate = all(_is_plain(layer, kinds[i % 2]) for i, layer in enumerate(layers))
    return alternate and len(layers) % 2 == 1


def _is_hooked(*parts: nn.Module) -> bool:
    """Whether a module has hooks, which would not run if its work were done elsewhere."""
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in parts)


def _is_plain(part: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of exactly this class, with its ``forward``."""
    return type(part) is kind and "forward" not in vars(part)

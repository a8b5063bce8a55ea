"""An optimiser step written down as the list of torch's operations it makes, and made again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from operator import getitem
from types import BuiltinFunctionType, MethodDescriptorType
from typing import Any

import torch
from torch import Tensor, fx
from torch.multiprocessing.reductions import StorageWeakRef
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from vi.fast.linear import FactorsOfBF16, are_factors_rounded
from vi.fast.replay.codegen import Operation, straight_line
from vi.fast.replay.replay import Columns, Replay, Work

_FILLS = {getattr(torch.ops.aten, f"{fill}_like").default for fill in ("ones", "zeros", "full")}
_NOTHING_YET = {torch.ops.aten.empty.memory_format, torch.ops.aten.empty_like.default}
_UNKNOWN = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Tapes:
    """Records on the processor: between two operations there is no module, object or autograd.

    A replay computes what the recorded work computes, to the bit, from whatever stands in the same
    tensors then, with new draws; that is tried on other inputs and draws before a recording is
    used. It leaves gradients nowhere.

    Args:
        optimizers: Those that step.
    """

    patience = 50  # a recording costs as much as a hundred steps of a small network can win

    def __init__(self, optimizers: Sequence[Optimizer] = ()) -> None:
        self.optimizers = optimizers

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """See ``Recorder``."""
        return work()

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Replay:
        """See ``Recorder``.

        Raises:
            RuntimeError: What the work does depends on what it computes.
        """
        tape, noise = _Tape(inputs), torch.get_rng_state()
        try:
            with tape:
                results = work(*inputs)
            replay = torch.inference_mode()(tape.compiled(results))
            others, other_noise = [x.flip(0) for x in inputs], torch.get_rng_state()
            tape.rewind()
            expected = [*work(*others), *tape.reached()]
            tape.rewind()
            torch.set_rng_state(other_noise)
            if not all(map(_same, expected, [*replay(others), *tape.reached()])):
                raise RuntimeError("they depend on more than data, weights and noise")
        finally:
            tape.rewind()
            torch.set_rng_state(noise)
            for optimizer in self.optimizers:
                optimizer.zero_grad()  # whose gradients would be those of this step for ever
        return replay


class _Tape(TorchDispatchMode):
    """Within this block every operation is made and written down."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        # by the place of a tensor in memory
        self.nodes = {
            _place(x): self.graph.placeholder(f"input_{i}") for i, x in enumerate(inputs)
        }
        self.given: dict[fx.Node, Tensor] = {}  # what was there before, and is the same tensor
        # Storages that were made here, or are inputs. A weak reference lets their memory go, and
        # keeps their place from being another's.
        self.moving = {_storage(x): StorageWeakRef(x.untyped_storage()) for x in inputs}
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # storages given and overwritten
        self.constants: dict[fx.Node, Tensor] = {}  # the same in every replay
        self.overwritten: set[int] = set()
        self.rounded = FactorsOfBF16()  # one, so that neighbours can share it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Make the operation."""
        kwargs = kwargs or {}
        ours = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        by_number = func is torch.ops.aten.index.Tensor and not any(map(_is_mask, ours[1:]))
        if not (by_number or _UNKNOWN.isdisjoint(func.tags)):
            raise RuntimeError(f"they look at a number that they compute ({func})")
        there = {_storage(tensor) for tensor in ours}
        for tensor in _overwritten(func, args, kwargs):
            self._keep(tensor)
        operation, result = _made(func, args, kwargs)
        if func is torch.ops.aten.mm.default and are_factors_rounded():
            operation = replace(operation, within=self.rounded)
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        of_given = bool(made) and all(_storage(t) in there - self.moving.keys() for t in made)
        told = func.namespace == "profiler"  # that an optimiser steps; nothing is computed
        if not (told or of_given and not func._schema.is_mutable):  # a view is a given tensor too
            written = tree_map_only(Tensor, self._node, (args, kwargs))
            node = self.graph.call_function(func, *written)
            if isinstance(result, Tensor) and self._is_constant(func, node):
                self.constants[node] = result
            views = not func._schema.is_mutable and all(_storage(t) in there for t in made)
            if not views:
                operation = _anywhere(func, operation, args, kwargs, result)
            self._name(result, node, there, replace(operation, views=views))
        return result

    def _node(self, tensor: Tensor) -> fx.Node:
        place = _place(tensor)
        if place not in self.nodes:
            self.nodes[place] = self._placeholder(tensor)
        return self.nodes[place]

    def _placeholder(self, tensor: Tensor) -> fx.Node:
        with self.graph.inserting_before(None):
            node = self.graph.placeholder(f"given_{len(self.given)}")
        self.given[node] = tensor
        return node

    def _is_constant(self, func: Any, node: fx.Node) -> bool:
        """It looks at no number, or at constants only, as where a gradient starts with 1."""
        of = node.all_input_nodes
        pure = not func._schema.is_mutable and torch.Tag.nondeterministic_seeded not in func.tags
        return func in _FILLS or pure and bool(of) and all(n in self.constants for n in of)

    def _name(self, result: Any, node: fx.Node, there: set[int], operation: Operation) -> None:
        if isinstance(result, Tensor):
            operation = replace(operation, storage=_storage(result))
            self.nodes.setdefault(_place(result), node)
            if _storage(result) not in there:
                self.moving[_storage(result)] = StorageWeakRef(result.untyped_storage())
        elif isinstance(result, list | tuple):
            for i, part in enumerate(result):
                member = self.graph.call_function(getitem, (node, i))
                self._name(part, member, there, Operation(getitem, views=True))
        node.meta["operation"] = operation

    def _keep(self, tensor: Tensor) -> None:
        """What stands where it will be overwritten."""
        storage = _storage(tensor)
        self.overwritten.add(storage)
        if storage not in self.moving and storage not in self.before:
            whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            self.before[storage] = whole, whole.clone()

    def reached(self) -> list[Tensor]:
        """What now stands where something was overwritten."""
        return [whole.clone() for whole, _ in self.before.values()]

    def rewind(self) -> None:
        """Undo what was overwritten."""
        for whole, before in self.before.values():
            whole.copy_(before)

    def compiled(self, results: Sequence[Tensor]) -> Replay:
        """What makes the operations again, on other inputs, and gives the results."""
        nodes = [self.nodes[_place(result)] for result in results]
        self.graph.output([self._fresh(node) if node in self.given else node for node in nodes])
        for node, constant in self.constants.items():
            if _storage(constant) not in self.overwritten:
                node.replace_all_uses_with(self._placeholder(constant))
        self.graph.eliminate_dead_code()
        return straight_line(self.graph, self.given)

    def _fresh(self, node: fx.Node) -> fx.Node:
        """A copy, where others may overwrite it."""
        copy = self.graph.call_function(torch.ops.aten.clone.default, (node,))
        copy.meta["operation"] = Operation(torch.clone)
        return copy


def _made(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Operation, Any]:
    """The operation made, and what makes it again: torch's own function if that takes all of it.

    This finds its way to the kernel in a third of the time; an operation itself in two thirds,
    without the checks of its ``__call__``.
    """
    name = func._schema.name.removeprefix("aten::")
    ours = getattr(torch, name, None) or getattr(Tensor, name, None)
    if isinstance(ours, BuiltinFunctionType | MethodDescriptorType):
        with suppress(TypeError):
            result = ours(*args, **kwargs)
            return Operation(ours), result if func._schema.returns else None
    return Operation(func._op), func(*args, **kwargs)


def _anywhere(
    func: Any, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Operation:
    """The same, and whether its result can be written to a given place."""
    if func._schema.is_mutable or not isinstance(result, Tensor) or result.storage_offset():
        return operation
    size = result.untyped_storage().nbytes()
    layout = tuple(result.shape), result.stride(), result.dtype, size
    if func in _NOTHING_YET:
        return replace(operation, layout=layout)
    place = torch.empty_strided(*layout[:2], dtype=result.dtype)
    drawn = torch.Tag.nondeterministic_seeded in func.tags
    if drawn or size == 0 or size != place.untyped_storage().nbytes():
        return operation
    with suppress(TypeError, RuntimeError), operation.within or nullcontext():
        operation.call(*args, **kwargs, out=place)
        if place.stride() == result.stride() and _same(place, result):
            return replace(operation, layout=layout, fills=True)
    return operation


def _place(tensor: Tensor) -> Any:
    """What all names of the same numbers in memory have in common."""
    shape = tuple(tensor.shape), tensor.stride(), tensor.dtype
    return _storage(tensor), tensor.storage_offset(), *shape


def _is_mask(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.bool, torch.uint8)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _overwritten(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)

"""Record an optimiser step on the processor as a list of torch operations, and replay it."""

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
    """Records steps on the processor; a replay calls torch's kernels without modules or autograd.

    A replay computes what the recorded function would, to the bit, from the present values of the
    same tensors and with new random draws. This is checked with other inputs and draws before a
    recording is used. A replay does not set gradients.

    Args:
        optimizers: The optimisers that step in it.

    >>> weight = torch.zeros(2)
    >>> def work(x):
    ...     weight.add_(x)
    ...     return [2 * weight]
    >>> replay = Tapes().record(work, [torch.ones(2)])
    >>> weight
    tensor([0., 0.])
    >>> replay([torch.tensor([3.0, 4.0])]), weight
    ([tensor([6., 8.])], tensor([3., 4.]))
    """

    patience = 50  # a recording costs as much as a hundred steps of a small network can gain

    def __init__(self, optimizers: Sequence[Optimizer] = ()) -> None:
        self.optimizers = optimizers

    def warm(self, work: Callable[[], Columns]) -> Columns:
        """Do the work; on a processor there is nothing to prepare."""
        return work()

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Replay:
        """Record the work and check the replay; parameters and noise are left unchanged.

        Args:
            work: A function from the inputs to results of one size.
            inputs: Tensors; a replay takes others of the same sizes.

        Raises:
            RuntimeError: The operations depend on values that they compute, or on more than data,
                weights and noise.
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
                raise RuntimeError("a step depends on more than data, weights and noise")
        finally:
            tape.rewind()
            torch.set_rng_state(noise)
            for optimizer in self.optimizers:
                optimizer.zero_grad()  # else the gradients of this step would stay for ever
        return replay


class _Tape(TorchDispatchMode):
    """Performs and records every torch operation inside the ``with`` block.

    Tensors are identified by their place in memory, since autograd and views create many Python
    objects for the same values. A storage is *given* if it existed before, or *moving* if it was
    created here or belongs to an input.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        # the node of each tensor, by its place in memory
        self.nodes = {
            _place(x): self.graph.placeholder(f"input_{i}") for i, x in enumerate(inputs)
        }
        self.given: dict[fx.Node, Tensor] = {}  # tensors that existed before
        # Storages that were created here or are inputs. Weak references free the memory but
        # reserve the address.
        self.moving = {_storage(x): StorageWeakRef(x.untyped_storage()) for x in inputs}
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # given storages and their old values
        self.constants: dict[fx.Node, Tensor] = {}  # results that are equal in every replay
        self.overwritten: set[int] = set()
        self.rounded = FactorsOfBF16()  # one object, so that consecutive operations share it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Perform an operation and record it."""
        kwargs = kwargs or {}
        ours = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        by_number = func is torch.ops.aten.index.Tensor and not any(map(_is_mask, ours[1:]))
        if not (by_number or _UNKNOWN.isdisjoint(func.tags)):
            raise RuntimeError(f"a step reads a value that it computes ({func})")
        there = {_storage(tensor) for tensor in ours}
        for tensor in _overwritten(func, args, kwargs):
            self._keep(tensor)
        operation, result = _made(func, args, kwargs)
        if func is torch.ops.aten.mm.default and are_factors_rounded():
            operation = replace(operation, within=self.rounded)
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        of_given = bool(made) and all(_storage(t) in there - self.moving.keys() for t in made)
        told = func.namespace == "profiler"  # announces an optimiser's step; computes nothing
        if not (told or of_given and not func._schema.is_mutable):  # views of given are given too
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
        """Return the graph's node of a tensor; a tensor not seen before becomes a placeholder."""
        place = _place(tensor)
        if place not in self.nodes:
            self.nodes[place] = self._placeholder(tensor)
        return self.nodes[place]

    def _placeholder(self, tensor: Tensor) -> fx.Node:
        """Add a placeholder for a tensor that existed before."""
        with self.graph.inserting_before(None):
            node = self.graph.placeholder(f"given_{len(self.given)}")
        self.given[node] = tensor
        return node

    def _is_constant(self, func: Any, node: fx.Node) -> bool:
        """Whether the result is the same in every replay.

        This holds if it depends on no values, such as the 1 with which a gradient starts, or on
        constants only.
        """
        of = node.all_input_nodes
        pure = not func._schema.is_mutable and torch.Tag.nondeterministic_seeded not in func.tags
        return func in _FILLS or pure and bool(of) and all(n in self.constants for n in of)

    def _name(self, result: Any, node: fx.Node, there: set[int], operation: Operation) -> None:
        """Register the result of an operation under its place in memory."""
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
        """Save a given storage before it is first overwritten."""
        storage = _storage(tensor)
        self.overwritten.add(storage)
        if storage not in self.moving and storage not in self.before:
            whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            self.before[storage] = whole, whole.clone()

    def reached(self) -> list[Tensor]:
        """Return the present values of the storages that were overwritten."""
        return [whole.clone() for whole, _ in self.before.values()]

    def rewind(self) -> None:
        """Restore the storages that were overwritten."""
        for whole, before in self.before.values():
            whole.copy_(before)

    def compiled(self, results: Sequence[Tensor]) -> Replay:
        """Return a function that performs the recorded operations on other inputs."""
        nodes = [self.nodes[_place(result)] for result in results]
        self.graph.output([self._fresh(node) if node in self.given else node for node in nodes])
        for node, constant in self.constants.items():
            if _storage(constant) not in self.overwritten:
                node.replace_all_uses_with(self._placeholder(constant))
        self.graph.eliminate_dead_code()
        return straight_line(self.graph, self.given)

    def _fresh(self, node: fx.Node) -> fx.Node:
        """Return a node that copies a given tensor, which others may overwrite later."""
        copy = self.graph.call_function(torch.ops.aten.clone.default, (node,))
        copy.meta["operation"] = Operation(torch.clone)
        return copy


def _made(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Operation, Any]:
    """Perform an operation; return the fastest function that repeats it, and the result.

    torch's own Python function reaches the kernel in a third of the time, if it accepts the
    arguments. Otherwise the operation's implementation, without the checks of ``__call__``, takes
    two thirds.
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
    """Return the operation, with the layout of its result if that can have a given place."""
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
    """Return a key that is equal for all tensor objects of the same values in memory."""
    shape = tuple(tensor.shape), tensor.stride(), tensor.dtype
    return _storage(tensor), tensor.storage_offset(), *shape


def _is_mask(tensor: Tensor) -> bool:
    """Whether indexing with this tensor gives a result whose size depends on values."""
    return tensor.dtype in (torch.bool, torch.uint8)


def _storage(tensor: Tensor) -> int:
    """Return the address of a tensor's storage object."""
    return tensor.untyped_storage()._cdata


def _overwritten(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the arguments that an operation writes to."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal to the bit, with NaN equal to NaN."""
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)

"""Compile a recorded graph into one Python function with preallocated outputs."""

from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

_ELEMENTWISE = {torch.Tag.pointwise, getattr(torch.Tag, "reduction", torch.Tag.pointwise)}


@dataclass(frozen=True)
class Operation:
    """A recorded operation, with what the compiler needs to repeat it.

    Args:
        call: The function that performs it.
        views: Whether its results are views of its arguments.
        storage: A number that its result shares with views of it, and with nothing else.
        layout: Shape, strides, type and bytes of its result, if that can be placed anywhere.
        fills: Whether ``call`` takes the place as ``out``; otherwise its values are not yet set.
        within: The context that it needs; elementwise operations are the same inside and outside.
    """

    call: Callable[..., Any]
    views: bool = False
    storage: int | None = None
    layout: tuple[Any, ...] | None = None
    fills: bool = False
    within: AbstractContextManager[Any] | None = None


def straight_line(
    graph: fx.Graph, given: dict[fx.Node, Tensor]
) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """Compile a graph into a function of its inputs.

    A result that can be placed anywhere has the same place in every call, so that nothing is
    allocated and views are not made again. Results with disjoint lifetimes share a place. The
    tensors that the function returns are new in every call. Other tensors are freed after their
    last use. For z = x w + b the function reads, apart from its names,

        def replay(w, b, t1, x):
            mul(x, w, out=t1); del x
            z = add(t1, b)
            return [z]

    Args:
        graph: Calls, each with an ``Operation`` as ``meta["operation"]``, and placeholders.
        given: The placeholders that are always the same tensor; the others are the inputs.

    Returns:
        A function from the inputs, in the order of their placeholders, to the outputs.
    """
    kept = given | _kept(graph, given)
    names: dict[str, Any] = {}
    last_user = {used: node for node in graph.nodes for used in node.all_input_nodes}

    def named(value: Any) -> str:
        if isinstance(value, fx.Node):
            return value.name
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(named, value))}]"
        name = f"_{len(names)}"
        names[name] = value
        return name

    def line(node: fx.Node) -> str:
        arguments = [*map(named, node.args), *(f"{k}={named(v)}" for k, v in node.kwargs.items())]
        if node in kept:
            arguments.append(f"out={node.name}")
        name = "" if node in kept or not node.users else f"{node.name} = "
        gone = [n for n in node.all_input_nodes if last_user[n] is node and n not in kept]
        done = "".join(f"; del {n}" for n in gone)
        return f"{name}{named(_operation(node).call)}({', '.join(arguments)}){done}"

    body: list[str] = []
    for within, group in _in_contexts(node for node in graph.nodes if _is_made(node, kept)):
        body += [f"with {named(within)}:"] if within else []
        body += [" " * bool(within) + line(node) for node in group]
    results = named(graph.output_node().args[0])
    inputs = [n for n in graph.nodes if n.op == "placeholder" and n not in kept]
    parameters = ", ".join(node.name for node in [*kept, *inputs])
    exec("\n ".join([f"def replay({parameters}):", *body, f"return {results}"]), names)
    replay, same = names["replay"], list(kept.values())
    return lambda inputs: replay(*same, *inputs)


def _operation(node: fx.Node) -> Operation:
    """Return the operation of a node."""
    return node.meta["operation"]


def _is_made(node: fx.Node, kept: dict[fx.Node, Any]) -> bool:
    """Whether a call of the compiled function has to perform this node."""
    return node.op == "call_function" and (node not in kept or _operation(node).fills)


def _kept(graph: fx.Graph, given: dict[fx.Node, Tensor]) -> dict[fx.Node, Any]:
    """Return the results that are the same tensor in every call, in addition to ``given``.

    Places are assigned in one pass over the graph. When a result was used for the last time, its
    place is free for later results of the same number of bytes.
    """
    calls = [node for node in graph.nodes if node.op == "call_function"]
    storages = {node: _operation(node).storage for node in calls}
    returned = {storages.get(node) for node in graph.output_node().all_input_nodes}
    last_use = {storages[n]: node for node in calls for n in node.all_input_nodes if n in storages}
    kept: dict[fx.Node, Any] = {}
    there = ChainMap(kept, given)
    free: dict[int, list[Tensor]] = defaultdict(list)  # free places by their bytes
    lent: dict[fx.Node, list[Tensor]] = defaultdict(list)  # places in use until this operation
    for node in calls:
        operation = _operation(node)
        if operation.views and all(n in there for n in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), there.__getitem__)
            kept[node] = operation.call(*args, **kwargs)
        elif operation.layout and operation.storage not in returned:
            shape, strides, dtype, size = operation.layout
            place = free[size].pop() if free[size] else torch.empty(size, dtype=torch.uint8)
            start = torch.empty(0, dtype=dtype)
            kept[node] = start.set_(place.untyped_storage(), 0, shape, strides)
            lent[last_use.get(operation.storage, node)].append(place)
        for place in lent.pop(node, []):
            free[len(place)].append(place)
    return kept


def _in_contexts(
    nodes: Iterable[fx.Node],
) -> list[tuple[AbstractContextManager[Any] | None, list[fx.Node]]]:
    """Group consecutive operations by the context that they need.

    Elementwise operations between two operations of the same context join them, as the context
    does not affect them. This saves leaving and entering it.
    """
    groups: list[tuple[AbstractContextManager[Any] | None, list[fx.Node]]] = [(None, [])]
    between: list[fx.Node] = []
    for node in nodes:
        within, (current, group) = _operation(node).within, groups[-1]
        if within is current:
            group += [*between, node]
            between = []
        elif within is None and _is_elementwise(node):
            between.append(node)
        else:
            groups += [(None, between), (within, [node])]
            between = []
    return [*groups, (None, between)]


def _is_elementwise(node: fx.Node) -> bool:
    """Whether an operation is a view, or computes entry by entry or by reductions."""
    if _operation(node).views:
        return True
    packet: Any = node.target.overloadpacket  # pyright: ignore
    return any(_ELEMENTWISE & {*getattr(packet, name).tags} for name in packet.overloads())

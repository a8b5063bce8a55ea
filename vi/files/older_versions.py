"""Convert files of older versions: names of weights, and the order of parameters.

In older versions the encoder and its head belonged to the model itself, and a model with another
q(z|x) was a model around a model. Remove this module with the version that no longer reads format
1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch.nn import Parameter

_MODEL = "model."  # prefix of the model's weights in a training module
_AROUND = re.compile(r"^(?:model|exact)\.")  # a model around a model
_PLACES = ("", "inference.", "inference.inference.")


def present_name(older: str, names: Iterable[str]) -> str:
    """Return the present name of a weight.

    Args:
        older: Its old or present name.
        names: The names of the model's weights.

    >>> present_name("model.encoder.weight", ["inference.encoder.weight"])
    'inference.encoder.weight'
    """
    bare = re.sub(r"^posterior_head\.", "head.", _AROUND.sub("", older))
    known = set(names)
    found = (place + bare for place in _PLACES if place + bare in known)
    return older if older in known else next(found, older)


def present_weights(weights: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the weights of a model under their present names.

    Args:
        weights: Weights by their old or present names.
        names: The names of the model's weights.

    >>> present_weights({"posterior_head.scale": 1.0}, ["inference.head.scale"])
    {'inference.head.scale': 1.0}
    """
    names = set(names)
    return {present_name(name, names): value for name, value in weights.items()}


def present_checkpoint(checkpoint: dict[str, Any], module: Any) -> dict[str, Any]:
    """Return a checkpoint with the present names and order of parameters.

    A checkpoint of another run is returned unchanged; ``checkpoint_schema`` reports what is wrong.

    Args:
        checkpoint: What ``read_checkpoint`` returned.
        module: The training module with the model, the bound and the scheme.
    """
    weights = checkpoint.get("state_dict")
    names = [name.removeprefix(_MODEL) for name in module.state_dict() if name.startswith(_MODEL)]
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        return checkpoint
    renamed = {_in_module(name, names): value for name, value in weights.items()}
    if list(renamed) == list(weights):
        return checkpoint
    states = checkpoint.get("optimizer_states", [])
    optimizers, _ = module.scheme.configure(module.model, module.bound)
    moved = [
        _in_order(state, [p for group in o.param_groups for p in group["params"]], renamed, module)
        for state, o in zip(states, optimizers, strict=False)
    ]
    return {**checkpoint, "state_dict": renamed, "optimizer_states": moved or states}


def _in_module(name: str, names: Sequence[str]) -> str:
    """Return the present name of a weight of a training module."""
    bare = name.removeprefix(_MODEL)
    return _MODEL + present_name(bare, names) if bare != name else name


def _in_order(
    state: Any, parameters: Sequence[Parameter], older: Iterable[str], module: Any
) -> Any:
    """Reorder the state of an optimiser from the order of the old names to the present one.

    Only the order in an optimiser of all parameters has changed; that in one of phi or theta alone
    is the same.
    """
    named = {id(p): name for name, p in module.named_parameters()}
    ours = [named[id(p)] for p in parameters]
    if ours != [name for name in named.values() if name in set(ours)] or "state" not in state:
        return state
    theirs = [name for name in older if name in set(ours)]
    if len(theirs) != len(ours) or len(state["state"]) not in (0, len(ours)):
        return state
    entries = {ours.index(name): state["state"].get(i) for i, name in enumerate(theirs)}
    known = {i: entry for i, entry in sorted(entries.items()) if entry is not None}
    return {**state, "state": known}

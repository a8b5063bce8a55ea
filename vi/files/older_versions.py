"""What older versions wrote, brought up to date: names of weights, and the order of parameters.

The encoder, and the head after it, belonged to the model itself, and models with another q(z|x)
were models around models. To be removed with the version that no longer reads format 1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch.nn import Parameter

_MODEL = "model."  # of a training module
_AROUND = re.compile(r"^(?:model|exact)\.")  # a model around a model
_PLACES = ("", "inference.", "inference.inference.")


def present_name(older: str, names: Iterable[str]) -> str:
    """What a weight is called now.

    Args:
        older: As it was called, or as it is.
        names: Of the weights of the model.
    """
    bare = re.sub(r"^posterior_head\.", "head.", _AROUND.sub("", older))
    known = set(names)
    found = (place + bare for place in _PLACES if place + bare in known)
    return older if older in known else next(found, older)


def present_weights(weights: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The weights of a model under the names that they have now."""
    names = set(names)
    return {present_name(name, names): value for name, value in weights.items()}


def present_checkpoint(checkpoint: dict[str, Any], module: Any) -> dict[str, Any]:
    """A checkpoint with the names and the orders of parameters that this version has.

    What is no checkpoint of this run stays as it is: ``checkpoint_schema`` tells what is wrong.
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
    bare = name.removeprefix(_MODEL)
    return _MODEL + present_name(bare, names) if bare != name else name


def _in_order(
    state: Any, parameters: Sequence[Parameter], older: Iterable[str], module: Any
) -> Any:
    """The state of an optimiser, whose parameters stood in the order of the older names.

    That of one for all parameters has changed; one for phi or theta alone has the order it had.
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

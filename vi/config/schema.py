"""The schema of an option is the signature of its class: names, types and defaults."""

import builtins
import difflib
import inspect
import math
import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

from vi.errors import ConfigurationError

_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}


def validate(target: Any, node: Mapping[str, Any], path: str) -> None:
    """Check the plain values of a configuration node against a signature.

    Args:
        target: A class (its ``__init__`` is used) or a function.
        node: The values by name; ``_target_`` is skipped.
        path: Position of the node in the configuration, for messages.

    Raises:
        ConfigurationError: A name that the signature does not have, a required value that is not
            set, or a value of another type.

    >>> class Part:
    ...     def __init__(self, num_samples: int = 1): ...
    >>> validate(Part, {"num_sample": 5}, "bound")
    Traceback (most recent call last):
    vi.errors.ConfigurationError: unknown option bound.num_sample
    """
    names = parameters(target)
    hints = _hints(target)
    for key, value in node.items():
        if key == "_target_":
            continue
        full = f"{path}.{key}" if path else key
        if key not in names:
            raise ConfigurationError(f"unknown option {full}", hint=did_you_mean(key, names, path))
        hint = hints.get(key, Any)
        if value == "???":
            raise ConfigurationError(f"{full} is required", hint=f"give {full}=...")
        if not conforms(value, hint):
            raise ConfigurationError(
                f"{full} must be {describe(hint)}, got {value!r}",
                hint=f"for example {full}={_example(hint, names[key].default)}",
            )


class Unresolved:
    """Replaces a type that a module imports for type checkers only; any value conforms to it."""

    def __class_getitem__(cls, item: Any) -> type["Unresolved"]:
        return cls


class _Names(dict[str, Any]):
    """The names of a module and of Python, with ``Unresolved`` for every other name."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Unresolved)


def _hints(target: Any) -> dict[str, Any]:
    """Return the annotations by name; ``**options: Unpack[T]`` counts as the entries of T."""
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    if function is object.__init__:  # a class without arguments
        return {}
    hints = get_type_hints(function, localns=_Names(function.__globals__))
    handed_on = [get_args(h)[0] for h in hints.values() if get_origin(h) is Unpack]
    return hints | {k: v for options in handed_on for k, v in get_type_hints(options).items()}


def parameters(target: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters that a user may set, by name.

    >>> class Part:
    ...     def __init__(self, num_samples: int = 1, *, beta: float = 1.0): ...
    >>> list(parameters(Part))
    ['num_samples', 'beta']
    """
    signature = inspect.signature(target.__init__ if inspect.isclass(target) else target)
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {n: p for n, p in signature.parameters.items() if n != "self" and p.kind in plain}


def conforms(value: Any, hint: Any) -> bool:
    """Whether a plain value (or a node that will become a part) conforms to an annotation.

    >>> conforms(3, float), conforms("abc", int), conforms(True, int), conforms([1, 2], list[int])
    (True, False, False, True)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Any, Unresolved):
        return True
    if origin in (Union, types.UnionType):
        return any(conforms(value, a) for a in arguments)
    if origin is Literal:
        return value in arguments
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return _is_number(value)
    if hint in _WORDS:
        return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if _is_sequence(origin or hint):
        return isinstance(value, list | tuple) and _elements_conform(value, arguments)
    if inspect.isclass(origin or hint) and issubclass(origin or hint, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, Mapping)  # a part, checked when it is built


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number; no option has a use for NaN, and "no limit" is null."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _elements_conform(value: Sequence[Any], arguments: tuple[Any, ...]) -> bool:
    """Whether all elements of a list conform, also for tuples of fixed length."""
    if not arguments:
        return True
    if arguments[-1] is Ellipsis or len(arguments) == 1:
        return all(conforms(v, arguments[0]) for v in value)
    return len(value) == len(arguments) and all(map(conforms, value, arguments))


def _is_sequence(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, Sequence) and not issubclass(hint, str)


def describe(hint: Any) -> str:
    """Return an annotation in words.

    >>> describe(int | None), describe(Literal["a", "b"])
    ('an integer or null', "'a' or 'b'")
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if origin is Literal:
        return " or ".join(repr(a) for a in arguments)
    if hint in (None, type(None)):
        return "null"
    if _is_sequence(origin or hint):
        return "a list"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _example(hint: Any, default: Any) -> str:
    """Return a value for the hint: the default, or one of the right type."""
    if default not in (None, inspect.Parameter.empty):
        return str(default)
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return str(arguments[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _example(arguments[0], default)
    if _is_sequence(get_origin(hint) or hint):
        return "[1,2]"
    return {int: "10", float: "0.1", bool: "true"}.get(hint, "...")


def did_you_mean(name: str, known: Collection[str], path: str = "") -> str:
    """Return a hint with the most similar known name, or with all of them.

    >>> did_you_mean("num_sample", ["num_samples", "beta"], "bound")
    'did you mean bound.num_samples?'
    >>> did_you_mean("x", ["num_samples", "beta"])
    'known here: beta, num_samples'
    """
    prefix = f"{path}." if path else ""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    return f"known here: {', '.join(sorted(known)) or 'nothing'}"

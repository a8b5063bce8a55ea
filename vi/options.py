"""Base class of parts that can be chosen by name: it stores the arguments of ``__init__``."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack, get_origin


class Configurable:
    """Mixin of every part that a file in ``configs/`` can name.

    It provides ``arguments``: the values that ``__init__`` received, with defaults filled in, so
    that a model built in Python can be saved by option names and plain values. An ``__init__``
    that passes ``**rest: Unpack[..]`` to its base class accepts the parameters of that class by
    name.

    >>> class Scaled(Configurable):
    ...     def __init__(self, scale: float = 2.0) -> None: ...
    >>> Scaled().arguments
    {'scale': 2.0}
    """

    arguments: dict[str, Any]
    renamed: ClassVar[Mapping[str, str]] = {}
    """{older name of an argument: present name}; older ones work and warn for one version."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = _remember_arguments(cls.__init__, _signature(cls))
        # not by assignment, which type checkers would read as the signature of the class
        type.__setattr__(cls, "__init__", init)


def present_names(
    cls: type, values: Mapping[str, Any], path: str = "", *, stacklevel: int = 3
) -> dict[str, Any]:
    """Return the values by the present names of the arguments of a class.

    An older name takes precedence over the present one: packaged files use only present names, so
    the older one was written by the user.

    Args:
        cls: Class that may have ``renamed`` arguments.
        values: Values by name.
        path: Path of the values in a configuration, for the warning.
        stacklevel: Stack level of the warning, so that it points to the code with the older name.

    >>> class Part(Configurable):
    ...     renamed = {"part": "fraction"}
    >>> with warnings.catch_warnings(action="ignore"):
    ...     present_names(Part, {"part": 0.5, "fraction": 0.0})
    {'fraction': 0.5}
    """
    older = {name: now for name, now in getattr(cls, "renamed", {}).items() if name in values}
    for name, now in older.items():
        warn_of_older_name(name, now, path or cls.__name__, stacklevel=stacklevel + 1)
    present = {name: value for name, value in values.items() if name not in older}
    return present | {now: values[name] for name, now in older.items()}


def warn_of_older_name(name: str, now: str, place: str, *, stacklevel: int = 2) -> None:
    """Warn that an argument was renamed; ``place`` is a path of options, or a class."""
    told = f"{place}.{name} is now {place}.{now}; the next version will not accept the older name"
    warnings.warn(told, FutureWarning, stacklevel=stacklevel)


def _signature(cls: type) -> inspect.Signature:
    """Return the signature of ``__init__``, with the parameters that it passes to its base."""
    own = inspect.signature(cls.__init__)
    *before, last = own.parameters.values()
    if get_origin(last.annotation) is not Unpack:
        return own
    inherited = inspect.signature(super(cls, cls).__init__).parameters.items()
    handed_on = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, p in inherited
        if name not in own.parameters
    ]
    return own.replace(parameters=[*before, *handed_on])


def _present(cls: type[Configurable], values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a caller by present names.

    Raises:
        TypeError: An argument was given by both names.
    """
    if cls.renamed.keys().isdisjoint(values):
        return values
    for name, now in cls.renamed.items():
        if name in values and now in values:
            raise TypeError(f"{cls.__name__}: got {now}, and {name}, which is its older name")
    return present_names(cls, values, stacklevel=4)


def _remember_arguments(
    init: Callable[..., None], signature: inspect.Signature
) -> Callable[..., None]:
    """Wrap ``__init__`` so that it stores its arguments before it runs."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {n for n, p in signature.parameters.items() if p.kind in named} - {"self"}

    @functools.wraps(init)
    def wrapper(self: Configurable, *args: Any, **kwargs: Any) -> None:
        if (
            "arguments" not in self.__dict__
        ):  # only the outermost class receives what the user wrote
            kwargs = _present(type(self), kwargs)
            try:
                call = signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{type(self).__name__}: {error}") from None
            call.apply_defaults()
            # not by nn.Module.__setattr__, since a part in here is already registered by its owner
            self.__dict__["arguments"] = {
                name: value for name, value in call.arguments.items() if name in names
            }
        init(self, *args, **kwargs)

    vars(wrapper)["__signature__"] = signature
    return wrapper

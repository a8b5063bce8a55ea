"""A part that can be chosen by name: it remembers the arguments it was made with."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack, get_origin


class Configurable:
    """Mixin of every part that a file in ``configs/`` can name.

    Comes for free: ``arguments``, the values its ``__init__`` received with defaults filled in, so
    that a model built in Python can be saved by option names and plain values. An ``__init__``
    that hands ``**rest: Unpack[..]`` on to the class before it takes by name what that one takes.

    >>> class Scaled(Configurable):
    ...     def __init__(self, scale: float = 2.0) -> None: ...
    >>> Scaled().arguments
    {'scale': 2.0}
    """

    arguments: dict[str, Any]
    renamed: ClassVar[Mapping[str, str]] = {}
    """{older name of an argument: its name now}; older names work for one version, and warn."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = _remember_arguments(cls.__init__, _signature(cls))
        # not by assignment: editors and type checkers would take it for the signature of the class
        type.__setattr__(cls, "__init__", init)


def present_names(
    cls: type, values: Mapping[str, Any], path: str = "", *, stacklevel: int = 3
) -> dict[str, Any]:
    """The values by the names that the arguments of a class have now.

    An older name counts above the present one: packaged files know the present one alone, so the
    older one was written by somebody.

    Args:
        cls: May have ``renamed`` arguments.
        values: By name.
        path: Where the values stand in a configuration, for the warning.
        stacklevel: Of the warning: who wrote the older name.

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
    """Say what an argument is called now; ``place`` is a path of options, or a class."""
    told = f"{place}.{name} is now {place}.{now}; the next version will not know the older name"
    warnings.warn(told, FutureWarning, stacklevel=stacklevel)


def _signature(cls: type) -> inspect.Signature:
    """Of ``__init__``, with the parameters that it hands on."""
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
    """What a caller wrote, by present names."""
    if cls.renamed.keys().isdisjoint(values):
        return values
    for name, now in cls.renamed.items():
        if name in values and now in values:
            raise TypeError(f"{cls.__name__}: got {now}, and {name}, which is its older name")
    return present_names(cls, values, stacklevel=4)


def _remember_arguments(
    init: Callable[..., None], signature: inspect.Signature
) -> Callable[..., None]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {n for n, p in signature.parameters.items() if p.kind in named} - {"self"}

    @functools.wraps(init)
    def wrapper(self: Configurable, *args: Any, **kwargs: Any) -> None:
        if "arguments" not in self.__dict__:  # the outermost class knows what the user wrote
            kwargs = _present(type(self), kwargs)
            try:
                call = signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{type(self).__name__}: {error}") from None
            call.apply_defaults()
            # past nn.Module.__setattr__: a part listed here is already registered by its owner
            self.__dict__["arguments"] = {
                name: value for name, value in call.arguments.items() if name in names
            }
        init(self, *args, **kwargs)

    vars(wrapper)["__signature__"] = signature
    return wrapper

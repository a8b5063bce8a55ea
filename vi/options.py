"""A part that can be chosen by name: it remembers the arguments it was made with."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Unpack, get_origin


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__init__ = _remember_arguments(cls.__init__, _signature(cls))


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


def _remember_arguments(
    init: Callable[..., None], signature: inspect.Signature
) -> Callable[..., None]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {n for n, p in signature.parameters.items() if p.kind in named} - {"self"}

    @functools.wraps(init)
    def wrapper(self: Configurable, *args: Any, **kwargs: Any) -> None:
        if "arguments" not in self.__dict__:  # the outermost class knows what the user wrote
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

"""The run-time type checker of the tests: an int is a float, as the language says."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

ALWAYS = 4  # calls of a function in a test that are checked
ONE_IN = 64  # of all further calls

tower = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked = jaxtyping.jaxtyped
_test = [0]


def next_test() -> None:
    """Its first calls are checked again."""
    _test[0] += 1


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    """As jaxtyping's decorator, which takes half of the time of a loop in small tensors.

    A function gets its checks when it is first called, and its first calls in every test are
    checked; of the others one in 64.
    """

    def decorate(thing: Any) -> Any:
        checked = _checked(typechecker=typechecker)
        return _sampled(thing, checked) if inspect.isfunction(thing) else checked(thing)

    return decorate


def _sampled(function: Callable[..., Any], check: Callable[[Any], Any]) -> Callable[..., Any]:
    checked: Any = None
    test, calls = -1, 0

    @functools.wraps(function)
    def sampled(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked, test, calls
        if test != _test[0]:
            test, calls = _test[0], 0
        calls += 1
        if calls > ALWAYS and calls % ONE_IN:
            return function(*args, **kwargs)
        checked = checked or check(function)
        return checked(*args, **kwargs)

    return sampled

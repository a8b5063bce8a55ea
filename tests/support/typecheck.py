"""The run-time type checker of the tests: an int is a float, as the language says."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import _import_hook

ALWAYS = 4  # calls of a function in a test that are checked
ONE_IN = 64  # of all further calls

tower = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked = jaxtyping.jaxtyped
_test = [0]
_counts: dict[tuple[str, str, int], list[int]] = {}  # test, calls; closures of one maker share


def next_test() -> None:
    """Its first calls are checked again."""
    _test[0] += 1


def exec_module(loader: Any, module: types.ModuleType) -> None:
    """As the hook's, whose own name for cached code is then that of a module of ours alone.

    Under it everything that our modules import is compiled anew: Lightning and all of its own.
    """
    name = functools.partial(
        _import_hook._optimized_cache_from_source, loader._typechecker.get_hash()
    )
    with patch("importlib._bootstrap_external.cache_from_source", name):
        code = loader.get_code(module.__name__)
    exec(code, module.__dict__)


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    """As jaxtyping's decorator, which takes half of the time of a loop in small tensors.

    A function gets its checks when it is first called, and its first calls in every test are
    checked; of the others one in 64. Making the checks of a closure takes longer than most of
    them run, so that of all closures of one maker the first call is checked.
    """

    def decorate(thing: Any) -> Any:
        checked = _checked(typechecker=typechecker)
        return _sampled(thing, checked) if inspect.isfunction(thing) else checked(thing)

    return decorate


def _sampled(function: Callable[..., Any], check: Callable[[Any], Any]) -> Callable[..., Any]:
    checked: Any = None
    code = function.__code__
    place = (code.co_filename, code.co_qualname, code.co_firstlineno)
    count = _counts.setdefault(place, [-1, 0])
    closes = {*code.co_freevars} - {"__class__"}  # made anew by every call of its maker
    always = 1 if closes else ALWAYS

    @functools.wraps(function)
    def sampled(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked
        if count[0] != _test[0]:
            count[:] = _test[0], 0
        count[1] += 1
        if count[1] > always and count[1] % ONE_IN:
            return function(*args, **kwargs)
        checked = checked or check(function)
        return checked(*args, **kwargs)

    return sampled

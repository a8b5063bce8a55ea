"""Deliberate faults, each of which one named test has to notice: ``python -m tests.faults.run``.

``seeded/<name>.toml`` is one fault: a ``file``, the ``old`` text that stands in it once, the
``new`` one, and the ``test`` that has to fail. No file is changed: everything is imported once,
and for each fault a fork of this process gives the functions of that file the code of the new text
and runs that one test. All these tests have to pass without a fault.

    python -m tests.faults.run               # all; exit code 1 if one survives
    python -m tests.faults.run beta iwae     # those whose names hold one of these words
"""

import gc
import importlib
import os
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Self

ROOT = Path(__file__).parents[2]
SEEDED = Path(__file__).parent / "seeded"
_LIMIT = 300  # seconds of one test
_FAILED = 1  # what pytest exits with
_BROKEN = 70  # a fork that could not run it


@dataclass(frozen=True)
class Fault:
    """One mistake, and the test that has to notice it."""

    name: str
    file: str
    old: str
    new: str
    test: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """From its file."""
        return cls(path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))

    def make(self) -> None:
        """In this process: functions that others hold already get the new code.

        Raises:
            ValueError: The old text does not stand in the file once, or no function differs.
        """
        path = ROOT / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            raise ValueError(f"the old text stands {source.count(self.old)} times in {self.file}")
        before, after = (
            {code.co_qualname: code for code in _codes(compile(text, path, "exec"))}
            for text in (source, source.replace(self.old, self.new))
        )
        changed = {name: code for name, code in after.items() if before[name] != code}
        functions = [
            one
            for one in gc.get_objects()
            if type(one) is FunctionType  # isinstance would ask strangers for their class
            and one.__code__.co_filename == str(path)
            and one.__code__.co_qualname in changed
        ]
        if not functions:
            raise ValueError(f"no function of {self.file} differs")
        for function in functions:
            function.__code__ = changed[function.__code__.co_qualname]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Of everything that is defined within, not of the module itself."""
    for within in code.co_consts:
        if isinstance(within, CodeType):
            yield within
            yield from _codes(within)


def faults(words: Iterable[str] = ()) -> list[Fault]:
    """All of them, or those whose names hold one of these words."""
    found = [Fault.read(path) for path in sorted(SEEDED.glob("*.toml"))]
    return [f for f in found if not words or any(word in f.name for word in words)]


def main(words: list[str]) -> int:
    """Make the faults one by one and say which of them survived."""
    chosen, started = faults(words), time.perf_counter()
    _import_everything(fault.file for fault in chosen)
    if _in_a_fork(lambda: _test(dict.fromkeys(fault.test for fault in chosen))):
        print("the tests do not pass without a fault")
        return 1
    survived = 0
    for fault in chosen:
        before = time.perf_counter()
        code = _in_a_fork(lambda fault=fault: _test_with(fault))
        survived += code != _FAILED
        verdict = "killed" if code == _FAILED else f"SURVIVED ({code})"
        seconds = time.perf_counter() - before
        print(f"{verdict:12} {seconds:5.1f} s  {fault.name}  {fault.test}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{len(chosen) - survived} of {len(chosen)} faults killed in {seconds:.0f} s")
    return int(survived > 0)


def _import_everything(files: Iterable[str]) -> None:
    """These files among them. As pytest does: the checks of types come first."""
    for module in ("tests.conftest", "tests.laws.conftest"):
        importlib.import_module(module)
    vi = importlib.import_module("vi")
    for name in dir(vi):
        getattr(vi, name)
    for file in files:
        importlib.import_module(file.removesuffix(".py").replace("/", "."))


def _in_a_fork(work: Callable[[], int]) -> int:
    """What the work returns, or minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = _BROKEN
    try:
        signal.alarm(_LIMIT)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _test_with(fault: Fault) -> int:
    fault.make()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return _test([fault.test])


def _test(tests: Iterable[str]) -> int:
    import pytest

    os.chdir(ROOT)
    options = ["-x", "--tb=short", "-p", "no:cacheprovider", "-W"]
    already = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    return int(pytest.main([*options, already, *tests]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

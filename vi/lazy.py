"""Names of a package that are imported when they are first used, found by reading its files."""

import importlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_PUBLIC_CLASS = re.compile(r"^class ([A-Z]\w*)", re.MULTILINE)


def lazy_exports(
    package: str, folder: str, names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Every public class defined below ``folder`` is offered under its own name, and every package in
    it, so that a new class needs no line in any ``__init__``; nothing is imported before it is
    asked for.

    Args:
        package: The package's dotted name.
        folder: The package's folder.
        names: Further names: {name: module that defines it}.

    >>> get, names = lazy_exports("vi.distributions", str(Path(__file__).parent / "distributions"))
    >>> "ConditionalDistribution" in names()
    True
    """

    @cache
    def table() -> dict[str, str]:
        root = Path(folder)
        found: dict[str, str] = {}
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join((package, *parts)).removesuffix(".__init__")
            for name in _PUBLIC_CLASS.findall(path.read_text(encoding="utf-8")):
                found.setdefault(name, module)
        return found | dict(names or {})

    @cache
    def folders() -> set[str]:
        return {path.parent.name for path in Path(folder).glob("*/__init__.py")}

    def __getattr__(name: str) -> Any:
        if name in folders():
            return importlib.import_module(f"{package}.{name}")
        if name.startswith("_") or name not in table():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(table()[name]), name)

    def __dir__() -> list[str]:
        return sorted({*table(), *folders()})

    return __getattr__, __dir__

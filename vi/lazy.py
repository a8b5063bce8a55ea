"""Public names of a package, imported when they are first used.

Public names are what a user can choose or receives: every class that a packaged yaml names, the
base classes of these options, and what a module lists in ``__all__``. So a new option becomes
public by its class and its yaml. A package below vi with names of its own (``vi.data``) exports
the names of its modules alone; ``vi`` does not.
"""

import importlib
import re
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent
_CLASS = re.compile(r"^class ([A-Z]\w*)", re.MULTILINE)
_LISTED = re.compile(r"^__all__ = \[(.*?)\]", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"^\s*_target_: (vi\.[\w.]+)", re.MULTILINE)
_OLDER = "# an older name of"
_DOORS = ("vi.data",)


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    They provide its public names, packages and modules, and import each at its first use.
    For one version every other class below the package is provided as well, with a warning.

    >>> get, names = lazy_exports("vi.data")
    >>> "MNIST" in names(), get("MNIST").__module__
    (True, 'vi.data.mnist')
    """

    def __getattr__(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if name in folders(package) or (_folder(package) / f"{name}.py").is_file():
            return importlib.import_module(f"{package}.{name}")
        module = public_names(package).get(name) or _private(package, name)
        return getattr(importlib.import_module(module), name)

    def __dir__() -> list[str]:
        return sorted({*public_names(package), *folders(package)})

    return __getattr__, __dir__


@cache
def public_names(package: str) -> dict[str, str]:
    """Return {name: module that defines it} for all public names of a package.

    Raises:
        ImportError: Two public classes have the same name.
    """
    others = tuple(f"{door}." for door in _DOORS if door != package)
    pairs = [*_named_by_options(), *_roles(), *_listed(package)]
    return one_of_each(
        (n, m) for n, m in pairs if f"{m}.".startswith(f"{package}.") and not m.startswith(others)
    )


def one_of_each(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return {name: module} from pairs (name, module), which may be repeated.

    Raises:
        ImportError: A name belongs to two modules.

    >>> one_of_each([("Batch", "vi.data.base"), ("Batch", "vi.schemes.base")])
    Traceback (most recent call last):
    ImportError: two public classes are called Batch: one of vi.data.base, one of vi.schemes.base
    """
    found: dict[str, str] = {}
    for name, module in pairs:
        if found.setdefault(name, module) != module:
            raise ImportError(
                f"two public classes are called {name}: one of {found[name]}, one of {module}"
            )
    return dict(sorted(found.items()))


@cache
def folders(package: str) -> list[str]:
    """Return the names of the packages in a package."""
    return sorted(path.parent.name for path in _folder(package).glob("*/__init__.py"))


def sources(package: str) -> list[tuple[str, str]]:
    """Return pairs (module, source text) of all modules below a package."""
    files = [p for p in sorted(_folder(package).rglob("*.py")) if p.stem != "__init__"]
    names = [".".join(p.relative_to(_ROOT.parent).with_suffix("").parts) for p in files]
    return [(n, p.read_text(encoding="utf-8")) for n, p in zip(names, files, strict=True)]


def _named_by_options() -> list[tuple[str, str]]:
    """Return (class, module) of the classes that packaged yaml files name."""
    from vi.config.registry import config_dir

    texts = (path.read_text(encoding="utf-8") for path in config_dir().rglob("*.yaml"))
    return [_split(t) for text in texts if _OLDER not in text for t in _TARGET.findall(text)]


def _roles() -> list[tuple[str, str]]:
    """Return (class, module) of the base classes of the options."""
    from vi.config.run import ROLES

    return [_split(role) for role in ROLES.values() if role.startswith("vi.")]


def _listed(package: str) -> list[tuple[str, str]]:
    """Return (name, module) of the names in ``__all__`` of the modules of a package."""
    found = ((module, _LISTED.search(text)) for module, text in sources(package))
    return [(name, m) for m, names in found if names for name in re.findall(r"\w+", names[1])]


def _split(target: str) -> tuple[str, str]:
    """Return (class, module) of a dotted path."""
    module, _, name = target.rpartition(".")
    return name, module


def _private(package: str, name: str) -> str:
    """Return the module of a class that is not public, and warn.

    Raises:
        AttributeError: No module below the package defines such a class.
    """
    found = _classes(package).get(name)
    if not found:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    door = next((d for d in _DOORS if d != package and name in public_names(d)), None)
    warnings.warn(
        f"{package}.{name} is deprecated: import it from {door or ' or '.join(found)}",
        DeprecationWarning,
        stacklevel=3,
    )
    return found[0]


@cache
def _classes(package: str) -> dict[str, list[str]]:
    """Return {class: modules that define such a class} for all classes below a package."""
    found: dict[str, list[str]] = {}
    for module, text in sources(package):
        for name in _CLASS.findall(text):
            found.setdefault(name, []).append(module)
    return found


def _folder(package: str) -> Path:
    """Return the folder of a package."""
    return _ROOT.joinpath(*package.split(".")[1:])

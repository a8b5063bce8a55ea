"""The registry of options: ``configs/<group>/<option>.yaml`` names a class; nothing else may."""

import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

import vi
from vi.config.run import FINISHED, ROLES
from vi.config.schema import did_you_mean
from vi.errors import ConfigurationError
from vi.startup import startup

# Modules in which a class may be defined. Checking only the prefix of the dotted path would not
# be safe: torch.nn.init.torch.load begins like a module of torch.nn.
_ALLOWED = ("vi.", "torch.optim.", "torch.nn.modules.", "lightning.pytorch.")
_WRITTEN = ("vi.", "torch.optim.", "torch.nn.", "lightning.pytorch.")
_NAME = re.compile(r"[a-z0-9_]+")
NAMED = (
    "python -m vi new writes a plugin package whose yaml names a class of yours, and "
    "plugins=[package] takes it"
)
"""The hint for a part that has no option name."""
_OLDER = re.compile(r"^# an older name of ([^;\n]+)", re.MULTILINE)


def config_dir() -> Path:
    """Return the folder of the yaml files: in an installed package, beside it in a checkout."""
    package = Path(vi.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def groups() -> set[str]:
    """Return the names of all groups: the folders of yaml files."""
    return {path.name for path in config_dir().iterdir() if path.is_dir()}


def options(group: str, plugins: Iterable[str] = ()) -> dict[str, Path]:
    """Return the options of a group and their files, including those of plugin packages.

    Args:
        group: The group, such as "refinement".
        plugins: Packages whose folder ``configs`` adds options.

    >>> sorted(options("refinement"))
    ['adam', 'gradient_ascent']
    """
    folders = [config_dir(), *(_package_folder(p) / "configs" for p in plugins)]
    return {p.stem: p for f in folders for p in sorted((f / group).glob("*.yaml"))}


def target_of(group: str, option: str, plugins: Iterable[str] = ()) -> str:
    """Return the dotted path of the class that the packaged yaml of an option names.

    Raises:
        ConfigurationError: There is no such option.

    >>> target_of("bound", "elbo")
    'vi.bounds.elbo.ELBO'
    """
    known = options(group, plugins)
    if not _NAME.fullmatch(str(option)) or option not in known:
        raise ConfigurationError(
            f"unknown option {group}={option}", hint=did_you_mean(str(option), known)
        )
    return _targets(known[option], group)


def packaged(group: str, option: str, plugins: Iterable[str] = ()) -> dict[str, Any]:
    """Return the node in the yaml of an option: ``_target_`` and plain values.

    Raises:
        ConfigurationError: There is no such option.

    >>> packaged("bound", "iwae")
    {'_target_': 'vi.bounds.iwae.IWAE', 'num_samples': 8}
    """
    target_of(group, option, plugins)  # raises if there is none
    node = _node(options(group, plugins)[option], group)
    return {k: v for k, v in node.items() if k != "defaults"}


def option_of(group: str, cls: type, plugins: Iterable[str] = ()) -> str:
    """Return the name of an option whose yaml names this class.

    Raises:
        ConfigurationError: No yaml names it.
    """
    for name, path in options(group, plugins).items():
        target = _targets(path, group)
        if target.rpartition(".")[2] == cls.__name__ and _locate(target) is cls:
            return name
    raise ConfigurationError(
        f"the {group} is a {cls.__module__}.{cls.__qualname__}, which no option names", hint=NAMED
    )


def renamed_to(path: Path) -> str | None:
    """Return the present option that the yaml of an older name gives in its comment, or None."""
    found = _OLDER.search(path.read_text(encoding="utf-8"))
    return found and found[1]


@functools.cache
def _targets(path: Path, group: str) -> str:
    """Return the ``_target_`` in a yaml file."""
    return str(_node(path, group).get("_target_", ""))


def _node(path: Path, group: str) -> dict[str, Any]:
    """Return the node in a yaml for its own group; the file may set other values too."""
    node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return node if "_target_" in node else node.get(group) or {}


def resolve(target: str, group: str, plugins: Iterable[str] = ()) -> type:
    """Return the class of a ``_target_`` if it is allowed in this group.

    Nothing is called, and nothing outside the allowed packages is imported.

    Args:
        target: A dotted path.
        group: The group, whose role the class must have.
        plugins: Packages beside vi whose classes are allowed.

    Raises:
        ConfigurationError: It is not a class, its module is not allowed, or it is not a subclass
            of the role of the group.
    """
    own = tuple(f"{p}." for p in plugins)
    found = _locate(target) if target.startswith(_WRITTEN + own) else None
    role = role_of(group)
    if (
        not inspect.isclass(found)
        or not f"{found.__module__}.".startswith(_ALLOWED + own)
        or not (issubclass(found, role) or _is_finished(found, group, own))
    ):
        raise ConfigurationError(
            f"{group}._target_={target} is refused: it is not a {role.__name__} of vi, torch.optim"
            ", torch.nn or lightning.pytorch",
            hint=f"choose one of {group}={'|'.join(options(group, plugins))}; "
            "to use your own package, add it to plugins=[...]",
        )
    return found


def _is_finished(found: type, group: str, own: tuple[str, ...]) -> bool:
    """Whether it is a module of a plugin that may stand where a recipe of one does."""
    finished = FINISHED.get(group)
    ours = bool(own) and f"{found.__module__}.".startswith(own)
    return finished is not None and ours and issubclass(found, _locate(finished))


def role_of(group: str) -> type:
    """Return the base class of all options of a group.

    Raises:
        ConfigurationError: There is no such group.
    """
    if group not in ROLES:
        raise ConfigurationError(
            f"there is no group {group}", hint=f"groups are {', '.join(ROLES)}"
        )
    return _locate(ROLES[group])


def item_group(name: str) -> str:
    """Return the group of a list's items: ``likelihoods`` contains parts of ``likelihood``."""
    return name.removesuffix("s")


def _locate(target: str) -> Any:
    """Return the object at a dotted path, or None."""
    module, _, name = target.rpartition(".")
    try:
        with startup.part("imports"):
            return getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None


def require_plugins(plugins: Iterable[str]) -> None:
    """Refuse plugin packages that are not installed.

    Raises:
        ConfigurationError: One of them cannot be found.
    """
    for plugin in plugins:
        _package_folder(plugin)


def configs_of(plugin: str) -> Path | None:
    """The folder of the yaml files of a package; None where it is not installed or has none."""
    folders = [place / "configs" for place in _places(plugin)]
    return next((folder for folder in folders if folder.is_dir()), None)


def require_named(needed: Iterable[str], named: Iterable[str], what: Path) -> None:
    """Refuse to go on without packages that were named when a model was saved.

    Nothing is imported, so that a stranger's file may name them.

    Raises:
        ConfigurationError: One of them was not named now.
    """
    missing = [str(name) for name in needed if name not in {*named}]
    absent = [name for name in missing if not _is_installed(name)]
    if missing:
        install = f"install {' and '.join(absent)}, and " if absent else ""
        raise ConfigurationError(
            f"{what} needs the plugin package {', '.join(missing)}",
            hint=f"{install}add plugins=[{','.join(missing)}] if you trust it",
        )


def _is_installed(plugin: str) -> bool:
    """Whether there is such a package, or one that it would lie in."""
    return bool(_places(plugin.partition(".")[0]))


def _places(plugin: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    return [] if spec is None else [Path(p) for p in spec.submodule_search_locations or []]


def _package_folder(plugin: str) -> Path:
    places = _places(plugin)
    if not places:
        raise ConfigurationError(
            f"plugin {plugin} cannot be imported", hint="is it an installed package?"
        )
    within = places[0] / plugin
    if not (places[0] / "__init__.py").is_file() and (within / "__init__.py").is_file():
        raise ConfigurationError(
            f"plugin {plugin} is not installed: {places[0]} is the folder around it",
            hint=f"pip install -e {places[0].name}",
        )
    return places[0]

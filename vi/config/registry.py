"""Options by name: ``configs/<group>/<option>.yaml`` names a class, and nothing else may."""

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
from vi.config.run import ROLES
from vi.config.schema import did_you_mean
from vi.errors import ConfigurationError
from vi.startup import startup

# Where a class itself may come from. A prefix of the dotted path alone would be no wall:
# torch.nn.init.torch.load begins like a module of torch.nn.
_ALLOWED = ("vi.", "torch.optim.", "torch.nn.modules.", "lightning.pytorch.")
_WRITTEN = ("vi.", "torch.optim.", "torch.nn.", "lightning.pytorch.")
_NAME = re.compile(r"[a-z0-9_]+")


def config_dir() -> Path:
    """The folder of the yaml files: inside the package when installed, beside it in a checkout."""
    package = Path(vi.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def groups() -> set[str]:
    """The groups of options: the folders of yaml files."""
    return {path.name for path in config_dir().iterdir() if path.is_dir()}


def options(group: str, plugins: Iterable[str] = ()) -> dict[str, Path]:
    """The options of a group and their files; a plugin package brings its own ``configs``."""
    folders = [config_dir(), *(_package_folder(p) / "configs" for p in plugins)]
    return {p.stem: p for f in folders for p in sorted((f / group).glob("*.yaml"))}


def target_of(group: str, option: str, plugins: Iterable[str] = ()) -> str:
    """The dotted path of the class that an option's packaged yaml names.

    Raises:
        ConfigurationError: There is no such option.
    """
    known = options(group, plugins)
    if not _NAME.fullmatch(str(option)) or option not in known:
        raise ConfigurationError(
            f"unknown option {group}={option}", hint=did_you_mean(str(option), known)
        )
    return _targets(known[option], group)


def packaged(group: str, option: str, plugins: Iterable[str] = ()) -> dict[str, Any]:
    """The node of an option as its yaml gives it: ``_target_`` and plain values.

    Raises:
        ConfigurationError: There is no such option.
    """
    target_of(group, option, plugins)  # is there one?
    node = _node(options(group, plugins)[option], group)
    return {k: v for k, v in node.items() if k != "defaults"}


def option_of(group: str, cls: type, plugins: Iterable[str] = ()) -> str:
    """The name of an option whose yaml names this class.

    Raises:
        ConfigurationError: No yaml names it.
    """
    for name, path in options(group, plugins).items():
        target = _targets(path, group)
        if target.rpartition(".")[2] == cls.__name__ and _locate(target) is cls:
            return name
    raise ConfigurationError(
        f"{cls.__module__}.{cls.__qualname__} is no option of the group {group}",
        hint=f"add configs/{group}/<name>.yaml with its _target_, in this package or in a plugin",
    )


@functools.cache
def _targets(path: Path, group: str) -> str:
    return str(_node(path, group).get("_target_", ""))


def _node(path: Path, group: str) -> dict[str, Any]:
    """What a yaml says of its own group; it may set other things beside."""
    node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return node if "_target_" in node else node.get(group) or {}


def resolve(target: str, group: str, plugins: Iterable[str] = ()) -> type:
    """The class behind a ``_target_``, if it may stand there.

    Raises:
        ConfigurationError: It is no class, its own module is not allowed, or it does not play the
            role of the group. Nothing is called, and nothing outside the allowed packages is
            imported.
    """
    own = tuple(f"{p}." for p in plugins)
    found = _locate(target) if target.startswith(_WRITTEN + own) else None
    role = role_of(group)
    if (
        not inspect.isclass(found)
        or not f"{found.__module__}.".startswith(_ALLOWED + own)
        or not issubclass(found, role)
    ):
        raise ConfigurationError(
            f"{group}._target_={target} is refused: it is not a {role.__name__} of vi, torch.optim"
            ", torch.nn or lightning.pytorch",
            hint=f"choose one of {group}={'|'.join(options(group, plugins))}; "
            "your own package goes into plugins=[...]",
        )
    return found


def role_of(group: str) -> type:
    """The class that every option of a group has to be a subclass of."""
    if group not in ROLES:
        raise ConfigurationError(
            f"there is no group {group}", hint=f"groups are {', '.join(ROLES)}"
        )
    return _locate(ROLES[group])


def item_group(name: str) -> str:
    """The group of the items of a list: ``likelihoods`` holds parts of ``likelihood``."""
    return name.removesuffix("s")


def _locate(target: str) -> Any:
    """The object of a dotted path, or None."""
    module, _, name = target.rpartition(".")
    try:
        with startup.part("imports"):
            return getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None


def require_plugins(plugins: Iterable[str]) -> None:
    """Refuse packages that are not there.

    Raises:
        ConfigurationError: One of them cannot be found.
    """
    for plugin in plugins:
        _package_folder(plugin)


def _package_folder(plugin: str) -> Path:
    try:
        spec = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    places = [] if spec is None else [*(spec.submodule_search_locations or [])]
    if not places:
        raise ConfigurationError(
            f"plugin {plugin} cannot be imported", hint="is it an installed package?"
        )
    return Path(places[0])

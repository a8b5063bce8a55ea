"""Options by name: ``configs/<group>/<option>.yaml`` names a class, and nothing else may."""

import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

import vi
from vi.errors import ConfigurationError, SupportMismatch, ViError
from vi.options import Option
from vi.training.run import ROLES
from vi.training.schema import did_you_mean, parameters, validate
from vi.training.startup import startup

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


def build(
    group: str,
    node: Mapping[str, Any],
    *,
    supply: Mapping[str, Any] | None = None,
    plugins: Iterable[str] = (),
    path: str = "",
) -> Any:
    """Make the part that a node describes.

    A parameter of the class that the node does not set is taken from ``supply``: a fact of the
    data (``data_shape``) as it is, another group's node by building it. Optimisers and schedules
    need what only the scheme has, so they come back as factories.

    Args:
        group: The group that the node plays in.
        node: Plain values and ``_target_``; a value that has a ``_target_`` is built first, in the
            group that its name says. A list called like a group, with an s, holds parts of that
            group: such nodes, names of options, or {option: name, ...}.
        supply: Nodes by group, and facts by name.
        plugins: Packages beside vi whose classes are welcome.
        path: Where the node stands, for messages; the group if not given.
    """
    path = path or group
    supply = supply or {}
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(node, plugins)
    validate(cls, node, path)
    values = {k: v for k, v in node.items() if k != "_target_"}

    def made(name: str, value: Any, path: str) -> Any:
        if isinstance(value, list):
            return [made(_one(name), v, f"{path}.{i}") for i, v in enumerate(value)]
        if not _is_node(value):
            return value
        return build(name, value, supply=supply, plugins=plugins, path=path)

    built = {name: made(name, value, f"{path}.{name}") for name, value in values.items()}
    if issubclass(cls, (role_of("optimizer"), role_of("schedule"))):
        return functools.partial(cls, **built)
    missing = [k for k in parameters(cls) if k not in values and k in supply]
    built |= {name: made(name, supply[name], name) for name in missing}
    try:
        return cls(**built)
    except SupportMismatch as error:
        raise ConfigurationError(str(error), hint=_on_one_support(error, plugins)) from None
    except ViError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise ConfigurationError(
            f"{path}: {str(error).partition(chr(10))[0]}",
            hint=f"see the docstring of {cls.__name__}",
        ) from error


def _on_one_support(mismatch: SupportMismatch, plugins: Iterable[str]) -> str:
    """The options that would fit the posterior, and those that would fit the prior."""
    of_q, of_p = mismatch.supports
    fits = {"prior": (of_q, "posterior"), "posterior": (of_p, "prior")}
    return ", or ".join(
        f"{group}={'|'.join(names)} for this {other}"
        for group, (support, other) in fits.items()
        if (names := _living_on(support, group, plugins))
    )


def _living_on(support: str, group: str, plugins: Iterable[str]) -> list[str]:
    from vi.models.base import support_name  # torch is slow to import

    classes = {o: resolve(target_of(group, o, plugins), group, plugins) for o in options(group)}
    return [o for o, cls in classes.items() if support_name(cls.support) == support]


def check(
    group: str, node: Mapping[str, Any], *, plugins: Iterable[str] = (), path: str = ""
) -> None:
    """Everything that ``build`` checks, without making anything."""
    path = path or group
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(node, plugins)
    validate(cls, node, path)
    for name, value in node.items():
        if _is_node(value):
            check(name, value, plugins=plugins, path=f"{path}.{name}")
        for i, item in enumerate(value if isinstance(value, list) else ()):
            if _is_node(item):
                check(_one(name), item, plugins=plugins, path=f"{path}.{name}.{i}")


def taken(
    group: str,
    node: Mapping[str, Any],
    supply: Mapping[str, Any],
    plugins: Iterable[str] = (),
) -> set[str]:
    """The groups of ``supply`` that ``build`` would take a part from, for this node."""
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    within = {name: value for name, value in node.items() if _is_node(value)}
    missing = {k: supply[k] for k in parameters(cls) if k not in node and k in supply}
    deeper = (taken(name, part, supply, plugins) for name, part in (within | missing).items())
    return set(missing).union(*deeper)


def _with_lists(node: Mapping[str, Any], plugins: Iterable[str]) -> dict[str, Any]:
    """The node with the lists of parts in it written out."""
    return {
        name: [_part(_one(name), item, plugins) for item in value]
        if isinstance(value, list) and _one(name) in ROLES
        else value
        for name, value in node.items()
    }


def _one(name: str) -> str:
    """The group of the items of a list."""
    return name.removesuffix("s")


def _part(group: str, item: Any, plugins: Iterable[str]) -> Any:
    """A node from an option's name, or from {option: name, ...}: as its yaml, unless changed."""
    if isinstance(item, str):
        return packaged(group, item, plugins)
    if isinstance(item, Mapping) and "option" in item:
        changed = undescribe(group, item, plugins)
        return packaged(group, str(item["option"]), plugins) | changed
    return item


def describe(group: str, part: Any, plugins: Iterable[str] = ()) -> dict[str, Any]:
    """A part as option names and plain values: what ``config.json`` holds.

    Raises:
        ConfigurationError: The part, or one within it, is no option.
    """
    if not isinstance(part, Option) and not hasattr(part, "parameters"):
        raise ConfigurationError(
            f"{group} is {part!r}, which cannot be saved by name",
            hint="a part that is an option (a class with a yaml) can",
        )
    arguments = part.arguments if isinstance(part, Option) else _attributes(part)
    return {"option": option_of(group, type(part), plugins)} | {
        name: _plain(name, value, plugins) for name, value in arguments.items()
    }


def _attributes(module: Any) -> dict[str, Any]:
    """The arguments of a module of torch.nn, which keeps them as attributes."""
    return {k: getattr(module, k) for k in parameters(type(module)) if hasattr(module, k)}


def _plain(name: str, value: Any, plugins: Iterable[str]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(_one(name), v, plugins) for v in value]
    return describe(name, value, plugins)


def undescribe(
    group: str, described: Mapping[str, Any], plugins: Iterable[str] = ()
) -> dict[str, Any]:
    """The node with ``_target_`` for what ``describe`` gave.

    Raises:
        ConfigurationError: It names a ``_target_`` of its own, or an option that does not exist.
    """
    if "_target_" in described or "option" not in described:
        raise ConfigurationError(
            f"the configuration beside the weights must name an option for {group}, "
            f"got {sorted(described)}",
            hint="a configuration that travels with weights never names a class by its path",
        )
    values = {k: _undescribed(k, v, plugins) for k, v in described.items() if k != "option"}
    return {"_target_": target_of(group, str(described["option"]), plugins)} | values


def _undescribed(name: str, value: Any, plugins: Iterable[str]) -> Any:
    if isinstance(value, list):
        return [_undescribed(_one(name), v, plugins) for v in value]
    return undescribe(name, value, plugins) if isinstance(value, Mapping) else value


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value

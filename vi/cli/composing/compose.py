"""Compose and check the configuration of a command line, before any file is written."""

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vi.cli.composing.explain import GRAMMAR, explained
from vi.cli.composing.outside import check_hydra, yaml_checked
from vi.cli.composing.plugins import with_searchpath
from vi.cli.composing.run_options import parsed
from vi.cli.composing.typed_names import by_present_names, warn_of_older_options, with_groups
from vi.cli.program import train_command
from vi.config.build import check, used_groups
from vi.config.registry import config_dir, groups, options, require_plugins
from vi.config.run import OF_MODELS, ROLES, SETS, SUGGESTED
from vi.config.schema import did_you_mean, parameters, validate
from vi.errors import ConfigurationError

_NEEDED = {*(ROLES.keys() - SETS), "hydra"}
_TAKEN = re.compile(r"\$\{(\w+)\}")


def composed(name: str, overrides: Sequence[str], main: Callable[..., Any]) -> dict[str, Any]:
    """Compose ``configs/<name>.yaml`` with overrides and check every value in it.

    Args:
        name: Name of the file.
        overrides: Options of the command line.
        main: The function whose parameters are the top level of the configuration.

    Returns:
        Plain values; parts are mappings with ``_target_``.

    Raises:
        ConfigurationError: A name is unknown, a value has a wrong type, an option does not exist,
            a class is not permitted at its place, or a yaml file sets what it must not.
    """
    with hydra_here():
        return checked(configuration(name, overrides), overrides, main)


@contextmanager
def hydra_here() -> Iterator[Hydra]:
    """Initialise Hydra inside the ``with`` block; yaml files of others are checked."""
    where = str(config_dir().resolve())
    with initialize_config_dir(where, version_base="1.3", job_name="train"), yaml_checked():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra


def configuration(name: str, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
    """Return what Hydra composes, with its node ``hydra``; call it inside ``hydra_here``.

    Raises:
        ConfigurationError: It cannot be composed.
    """
    with explained(name, overrides):
        texts = with_searchpath(own_options(with_groups(overrides)))
    try:
        config = _composed(name, texts, mode)
    except ConfigurationError:
        if (present := _by_present_names(name, texts, mode)) == texts:
            raise
        return _composed(name, present, mode)
    if _sweeps_over_unknown(texts, config):  # which fails only in the jobs
        return _composed(name, _by_present_names(name, texts, mode), mode)
    return config


def _composed(name: str, texts: Sequence[str], mode: RunMode) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    with explained(name, texts), warnings.catch_warnings():
        warnings.filterwarnings(
            "error", ".* is not available"
        )  # a missing folder of the search path
        return hydra.compose_config(name, list(texts), mode, from_shell=False)


def _by_present_names(name: str, texts: Sequence[str], mode: RunMode) -> list[str]:
    """Return the overrides by present names, if the others can be composed without them."""
    others = [str(o.input_line) for o in parsed(texts) if not _is_of_a_part(o)]
    try:
        config = _composed(name, others, mode)
    except ConfigurationError:
        return list(texts)
    ours = [str(key) for key in config if key != "hydra"]
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, ours))
    return by_present_names(texts, plain)  # pyright: ignore[reportArgumentType]


def _sweeps_over_unknown(texts: Sequence[str], config: DictConfig) -> bool:
    """Return whether a sweep goes over an option that the configuration does not have."""
    swept = [o for o in parsed(texts) if o.is_sweep_override() and _is_of_a_part(o)]
    missing = object()
    return any(OmegaConf.select(config, o.key_or_group, default=missing) is missing for o in swept)


def _is_of_a_part(override: Override) -> bool:
    """Return whether an override sets a value of a part, and does not choose a part."""
    name = override.key_or_group
    return "." in name and override.package is None and not name.startswith("hydra")


def checked(
    config: DictConfig, overrides: Sequence[str], main: Callable[..., Any]
) -> dict[str, Any]:
    """Check a composed configuration as ``composed`` does, and return its plain values."""
    typed = parsed(overrides)
    check_hydra(config, typed)
    with explained(str(config.hydra.job.config_name), overrides):
        plain = values(config, main)
    _require_typed_plugins(plain, typed)
    check_values(plain, main)
    if "model" in plain:
        warn_of_older_options(typed, plain.get("plugins") or [])
        _refuse_idle(plain, config, typed)
    return plain


def value_of(overrides: Sequence[str], key: str) -> str | None:
    """Return the value that the command line gives to a key, without quotes; None if it is absent.

    Raises:
        ConfigurationError: An override cannot be read, or the key has several values.
    """
    with explained("train", ()):
        given = [o for o in parsed(overrides) if o.key_or_group == key]
    if any(o.is_sweep_override() for o in given):
        raise ConfigurationError(
            f"{given[-1].input_line} gives {key} several values", hint=f"give {key} one value"
        )
    value = given[-1].value() if given else None
    return None if value is None else str(value)


def values(config: DictConfig, main: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a function from its configuration, with interpolations resolved.

    A set of parts that was removed is empty, and removed members of a set are left out.

    Raises:
        ConfigurationError: Something else was removed.
    """
    ours = [str(key) for key in config if key != "hydra"]
    _require_parts(OmegaConf.to_container(OmegaConf.masked_copy(config, ours)), main)
    plain = plain_values(OmegaConf.masked_copy(config, ours))
    for group in SETS:
        if group in parameters(main):
            members = plain.get(group) or {}
            plain[group] = {k: v for k, v in members.items() if v is not None}
    return plain


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain values, with every interpolation resolved."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def check_values(plain: Mapping[str, Any], main: Callable[..., Any]) -> None:
    """Check a composed configuration against the classes that it names.

    Raises:
        ConfigurationError: A name, a type, a class or a plugin is not permitted.
    """
    _require_known(plain, main)
    validate(main, plain, "")
    plugins = plain.get("plugins") or []
    require_plugins(plugins)
    for group, path, node in _parts(plain):
        check(group, node, plugins=plugins, path=path)


def _require_known(plain: Mapping[str, Any], main: Callable[..., Any]) -> None:
    """Refuse unknown top-level names; parameters with a default are not options."""
    known = _options_of(main)
    for name in plain:
        if name not in known:
            raise ConfigurationError(f"unknown option {name}", hint=did_you_mean(name, known))


def _options_of(main: Callable[..., Any]) -> list[str]:
    return [n for n, p in parameters(main).items() if p.default is inspect.Parameter.empty]


def own_options(overrides: Sequence[str]) -> list[str]:
    """Return the overrides, with ``group=null`` as ``~group`` if the group is not required.

    Raises:
        ConfigurationError: The value of a group is not the name of an option.
    """
    return [_own_option(override) for override in parsed(overrides)]


def _own_option(override: Override) -> str:
    group, text, value = override.key_or_group, str(override.input_line), override.value()
    if not group:
        raise ConfigurationError(f"cannot read the option {text!r}", hint=GRAMMAR)
    if group not in groups() | {"hydra"} or override.is_delete() or override.is_sweep_override():
        return text
    if value is None and group not in _NEEDED and override.package is None:
        return f"~{group}"
    if value is None or isinstance(value, bool | int | float):
        raise ConfigurationError(f"unknown option {text}", hint=_what_to_give(group))
    if ".." in str(value).split("/"):  # a path would lead to any yaml
        raise ConfigurationError(
            f"{text} leads out of the folder of its options",
            hint="hydra.searchpath=[file:///a/folder] adds a folder of yaml files",
        )
    return text


def _require_typed_plugins(plain: Mapping[str, Any], typed: Sequence[Override]) -> None:
    """Refuse plugins from a yaml file: only the command line may import a package."""
    if plain.get("plugins") and not any(o.key_or_group == "plugins" for o in typed):
        named = ",".join(map(str, plain["plugins"]))
        raise ConfigurationError(
            f"a yaml file sets plugins=[{named}], which only the command line may",
            hint=f"if you trust it, type it yourself: plugins=[{named}]",
        )


def _require_parts(node: Any, main: Callable[..., Any]) -> None:
    """Refuse a configuration in which a required part was removed by ~ or null."""
    for name in _options_of(main):
        if name in SETS:
            _require_set(name, node.get(name))
        elif name not in node:
            raise ConfigurationError(f"{name} is missing", hint=_what_to_give(name))
        elif name in groups() and not isinstance(node[name], Mapping):
            told = "null" if node[name] is None else repr(node[name])
            raise ConfigurationError(f"{name} cannot be {told}", hint=_what_to_give(name))


def _require_set(name: str, members: Any) -> None:
    if members and not isinstance(members, Mapping):
        raise ConfigurationError(f"{name} cannot be {members!r}", hint=_what_to_give(name))
    for member, node in (members or {}).items():
        if node is not None and not isinstance(node, Mapping):
            raise ConfigurationError(
                f"{name}.{member} must be a part or null, got {node!r}",
                hint=f"{name}.{member}=null leaves it out",
            )


def _what_to_give(name: str) -> str:
    """Return the hint with the options of a group, or with the form of a value."""
    known = options(name) if name in groups() else {}
    return f"choose one of {name}={'|'.join(known)}" if known else f"give {name}=..."


def _refuse_idle(plain: Mapping[str, Any], config: DictConfig, typed: Sequence[Override]) -> None:
    """Refuse typed options that no part of this run uses."""
    parts = {k: v for k, v in plain.items() if k in OF_MODELS}
    places = used_groups("model", plain["model"], parts, plain.get("plugins") or [])
    used = _names_used(config, {*plain} - (parts.keys() - places))
    model = plain["model"]["_target_"].rpartition(".")[2]
    goes_on = plain.get("ckpt_path") is not None  # a resumed run keeps its options
    for override in typed:
        name = override.key_or_group
        if name in parts and name not in places:
            raise ConfigurationError(
                f"{override.input_line} has no effect: {model} takes no {name}",
                hint=f"leave it out, or choose a model that takes a {name}, such as model=vae",
            )
        if name in SUGGESTED - used and not goes_on:
            raise ConfigurationError(
                f"{override.input_line} has no effect: no part of this run takes {name}",
                hint=f"leave it out; {train_command()} --cfg job shows what each part takes",
            )


def _names_used(config: DictConfig, places: set[str]) -> set[str]:
    """Return the shared values that the parts at these places use, directly or through another."""
    raw = {name: OmegaConf.to_yaml(OmegaConf.masked_copy(config, [name])) for name in places}
    used, more = set[str](), places - SUGGESTED
    while more:
        more = {name for place in more for name in _TAKEN.findall(raw[place])} & SUGGESTED - used
        used |= more
    return used


def _parts(plain: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Iterate over (group, path, node) of all parts."""
    for group, node in plain.items():
        if group in SETS:
            yield from ((group, f"{group}.{name}", n) for name, n in (node or {}).items())
        elif isinstance(node, Mapping):
            yield group, group, node

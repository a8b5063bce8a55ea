"""A command line becomes a checked configuration, before anything is made on the disk."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vi.errors import ConfigurationError
from vi.training.registry import check, config_dir, taken
from vi.training.schema import did_you_mean, validate

_SETS_OF_PARTS = ("callbacks", "logger")
_PARTS_OF_MODELS = ("encoder", "decoder", "posterior", "prior", "likelihood")


def composed(name: str, overrides: Sequence[str], main: Callable[..., Any]) -> dict[str, Any]:
    """Compose ``configs/<name>.yaml`` with overrides and check every value in it.

    Args:
        name: The file.
        overrides: As on the command line.
        main: The function whose parameters are the top level of the configuration.

    Returns:
        Plain values; parts are mappings with ``_target_``.

    Raises:
        ConfigurationError: An unknown name, a wrong type, an option that does not exist, a class
            that may not stand there.
    """
    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        try:
            config = compose(name, list(overrides), return_hydra_config=True)
            _check_hydra(OmegaConf.to_container(config.hydra, resolve=False), "hydra")
            ours = [str(key) for key in config if key != "hydra"]
            plain = plain_values(OmegaConf.masked_copy(config, ours))
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(error, name, overrides) from error
    check_values(plain, main)
    if "model" in plain:
        _refuse_idle(plain, overrides)
    return plain


def jobs(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job of a sweep, as Hydra's own sweeper splits them.

    Raises:
        ConfigurationError: An override that cannot be read.
    """
    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        try:
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
            return [list(job) for job in chain(*BasicSweeper.split_arguments(parsed, None))]
        except HydraException as error:
            raise _explained(error, "train", ()) from error


def value_of(overrides: Sequence[str], key: str) -> str | None:
    """What the command line gives for a plain key, without its quotes; None if nothing.

    Raises:
        ConfigurationError: An override that cannot be read.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise _explained(error, "train", ()) from error
    given = [o.value() for o in parsed if o.key_or_group == key and not o.is_sweep_override()]
    return str(given[-1]) if given and given[-1] is not None else None


def _check_hydra(node: Any, path: str) -> None:
    """Hydra makes its own parts (launchers, sweepers, callbacks) without asking us."""
    if not isinstance(node, Mapping):
        return
    target = str(node.get("_target_", "hydra_plugins."))
    if not target.startswith(("hydra._internal.core_plugins.", "hydra_plugins.")):
        raise ConfigurationError(
            f"{path}._target_={target} is refused: it is no launcher or sweeper of Hydra",
            hint="leave hydra.* to launchers and sweepers that are installed as Hydra plugins",
        )
    for name, value in node.items():
        _check_hydra(value, f"{path}.{name}")


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The configuration with every interpolation resolved."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def check_values(plain: Mapping[str, Any], main: Callable[..., Any]) -> None:
    """Check a composed configuration against the classes that it names.

    Raises:
        ConfigurationError: See ``composed``.
    """
    validate(main, plain, "")
    plugins = plain.get("plugins") or []
    for group, path, node in _parts(plain):
        check(group, node, plugins=plugins, path=path)


def _refuse_idle(plain: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """A part of a model that was asked for, and that this model has no place for."""
    parts = {k: v for k, v in plain.items() if k in _PARTS_OF_MODELS}
    places = taken("model", plain["model"], parts, plain.get("plugins") or [])
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group = override.key_or_group
        if group in parts and group not in places:
            model = plain["model"]["_target_"].rpartition(".")[2]
            raise ConfigurationError(
                f"{override.input_line} has no effect: {model} takes no {group}",
                hint=f"leave it out, or choose a model that takes a {group}, such as model=vae",
            )


def _parts(plain: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(group, path, node) of every part."""
    for group, node in plain.items():
        if group in _SETS_OF_PARTS:
            yield from ((group, f"{group}.{name}", n) for name, n in (node or {}).items())
        elif isinstance(node, Mapping):
            yield group, group, node


def _explained(error: Exception, name: str, overrides: Sequence[str]) -> ConfigurationError:
    """What Hydra and OmegaConf say, as one line and a hint that does not hide a typo."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return ConfigurationError(
            f"unknown option {group}={option}", hint=did_you_mean(option, error.options or [])
        )
    text = str(error.__cause__ if isinstance(error, ConfigCompositionException) else error)
    text = text if text != "None" else str(error)
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return ConfigurationError(
            f"{missing[1]} is required", hint=f"give {missing[1]}=... on the command line"
        )
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found:
        path, _, key = found[1].rpartition(".")
        return ConfigurationError(
            f"unknown option {found[1]}", hint=_near(key, path, name, overrides)
        )
    first = str(error).strip().partition("\n")[0]
    return ConfigurationError(first, hint="options are written name=value or group=option")


def _near(key: str, path: str, name: str, overrides: Sequence[str]) -> str:
    """A hint among the names that stand where the unknown one was written."""
    chosen = [o for o in overrides if o.partition("=")[0] in _groups()]
    try:
        node: Any = OmegaConf.to_container(compose(name, chosen), resolve=False)
    except HydraException:
        node = OmegaConf.to_container(compose(name), resolve=False)
    for part in path.split(".") if path else []:
        node = node.get(part, {}) if isinstance(node, Mapping) else {}
    known = [k for k in node if not k.startswith("_")] if isinstance(node, Mapping) else []
    return did_you_mean(key, known, path)


def _groups() -> set[str]:
    return {path.name for path in config_dir().iterdir() if path.is_dir()}

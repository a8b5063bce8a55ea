"""Restrictions on yaml files of a search path: they may describe parts and nothing else.

Otherwise such a file could choose what Hydra itself runs (callbacks, log files, the environment
of a job), or exhaust the memory with nested aliases.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from vi.config.registry import config_dir
from vi.errors import ConfigurationError
from vi.files.plain_files import Unreadable, check_yaml, checked_yaml_text

_PLUGINS = ("hydra._internal.core_plugins.", "hydra_plugins.")
_CHOSEN = ("run", "sweep", "launcher", "sweeper")  # may be chosen by a yaml of the search path
_COMPUTED = ("runtime", "overrides", "searchpath", "mode")
_COMPUTED_OF_JOB = ("name", "override_dirname", "config_name", "num", "id")
_REFERENCES = 32  # in one folder; more could stand for any number of values


class _Files(FileConfigSource):
    """A folder of yaml files, each of which is checked before it is read."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.references: dict[Path, int] = {}

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path)).resolve()
        if path.is_file() and not path.is_relative_to(config_dir().resolve()):
            with _named(path):
                self._check(path)
        return super().load_config(config_path)

    def _check(self, path: Path) -> None:
        self.references[path] = checked_yaml_text(path).count("${")
        if sum(self.references.values()) > _REFERENCES:
            raise Unreadable(f"and others refer to other values more than {_REFERENCES} times")


class _Package(ImportlibResourcesConfigSource):
    """The yaml files of a package. A package is trusted with code, but its yaml may be damaged."""

    def _read_config(self, res: Any) -> ConfigResult:
        if not self.path.startswith("hydra."):
            with _named(Path(str(res))):
                check_yaml(res.read_text(encoding="utf-8"))
        return super()._read_config(res)


@contextmanager
def yaml_checked() -> Iterator[None]:
    """Let Hydra read only checked yaml files of the search path, inside the ``with`` block."""
    registry = SourcesRegistry.instance()
    before = dict(registry.types)
    registry.types |= {_Files.scheme(): _Files, _Package.scheme(): _Package}
    try:
        yield
    finally:
        registry.types = before


def check_hydra(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Refuse a composed configuration in which a yaml file configures Hydra itself.

    Args:
        config: Composed configuration with its node ``hydra``.
        overrides: Options of the command line, which may configure Hydra.

    Raises:
        ConfigurationError: A yaml file sets ``hydra.*``, or the node contains a foreign class.
    """
    node = OmegaConf.to_container(config.hydra, resolve=False)
    _require_plugins_of_hydra(node, "hydra")
    if config.hydra.searchpath:
        _require_as_typed(node, overrides, str(config.hydra.job.config_name))


def _require_plugins_of_hydra(node: Any, path: str) -> None:
    """Refuse other classes than Hydra's own in ``hydra.*``: Hydra instantiates them unchecked."""
    if not isinstance(node, Mapping):
        return
    target = str(node.get("_target_", "hydra_plugins."))
    if not target.startswith(_PLUGINS):
        raise ConfigurationError(
            f"{path}._target_={target} is refused: it is not a launcher or sweeper of Hydra",
            hint="leave hydra.* to launchers and sweepers that are installed as Hydra plugins",
        )
    for name, value in node.items():
        _require_plugins_of_hydra(value, f"{path}.{name}")


def _require_as_typed(node: Any, overrides: Sequence[Override], name: str) -> None:
    """Require the node that the command line alone produces, without the search path."""
    typed = [str(o.input_line) for o in overrides if _of_hydra(o)]
    try:
        ours = OmegaConf.to_container(
            compose(name, typed, return_hydra_config=True).hydra,
            resolve=False,
        )
    except HydraException as error:
        first = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"hydra.* may not come from a folder of yaml files: {first}",
            hint="choose among the options of Hydra and of its installed plugins",
        ) from error
    changed = next(_differences(_fixed(node), _fixed(ours), "hydra"), None)
    if changed:
        raise ConfigurationError(
            f"{changed} is set by a yaml file, which may not configure Hydra",
            hint=f"remove it from the file, or give it on the command line: {changed}=...",
        )


def _of_hydra(override: Override) -> bool:
    """Return whether an option configures Hydra and is compared."""
    if not override.is_hydra_override():
        return False
    words = override.key_or_group.replace("/", ".").split(".")
    return words[1] not in (*_CHOSEN, "searchpath")


def _fixed(node: Any) -> dict[str, Any]:
    """Return the node without entries that differ between runs or that a file may choose."""
    kept = {k: v for k, v in node.items() if k not in (*_CHOSEN, *_COMPUTED)}
    job = {k: v for k, v in node["job"].items() if k not in _COMPUTED_OF_JOB}
    return kept | {"job": job}


def _differences(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    """Iterate over the paths at which two nodes differ."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in [*theirs, *(k for k in ours if k not in theirs)]:
            yield from _differences(theirs.get(name), ours.get(name), f"{path}.{name}")
    elif theirs != ours:
        yield path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an unreadable file inside the ``with`` block into an error that names it."""
    try:
        yield
    except (Unreadable, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} {error}", hint="a yaml file here may contain only plain values, without tags"
        ) from error

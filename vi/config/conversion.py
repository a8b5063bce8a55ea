"""A part as option names and plain values, and back: what travels with weights, never code."""

from collections.abc import Iterable, Mapping
from typing import Any

from vi.config.registry import item_group, option_of, target_of
from vi.config.schema import parameters
from vi.errors import ConfigurationError
from vi.options import Configurable


def to_config(group: str, part: Any, plugins: Iterable[str] = ()) -> dict[str, Any]:
    """A part as option names and plain values: what ``config.json`` holds.

    Raises:
        ConfigurationError: The part, or one within it, is no option.
    """
    if not isinstance(part, Configurable) and not hasattr(part, "parameters"):
        raise ConfigurationError(
            f"{group} is {part!r}, which cannot be saved by name",
            hint="a part that is an option (a class with a yaml) can",
        )
    arguments = part.arguments if isinstance(part, Configurable) else _attributes(part)
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
        return [_plain(item_group(name), v, plugins) for v in value]
    return to_config(name, value, plugins)


def from_config(
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
        return [_undescribed(item_group(name), v, plugins) for v in value]
    return from_config(name, value, plugins) if isinstance(value, Mapping) else value

"""Convert a part to option names and plain values, and back.

Saved weights are accompanied by this form. It never contains the path of a class, so that loading
a file runs no code of its author.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from vi.config.registry import NAMED, item_group, option_of, target_of
from vi.config.schema import parameters
from vi.errors import ConfigurationError
from vi.options import Configurable


def to_config(group: str, part: Any, plugins: Iterable[str] = ()) -> dict[str, Any]:
    """Return a part as option names and plain values: the content of ``config.json``.

    Args:
        group: The group of the part.
        part: The part, with the arguments that it was made with.
        plugins: Packages beside vi whose options may be named.

    Raises:
        ConfigurationError: The part, or one inside it, is not an option.

    >>> from vi.bounds.iwae import IWAE
    >>> to_config("bound", IWAE(num_samples=5))
    {'option': 'iwae', 'num_samples': 5}
    """
    if not isinstance(part, Configurable) and not hasattr(part, "parameters"):
        raise ConfigurationError(
            f"the {group} is {part!r}, which has no option's name to be saved by", hint=NAMED
        )
    option = option_of(group, type(part), plugins)
    arguments = part.arguments if isinstance(part, Configurable) else _attributes(part)
    return {"option": option} | {
        name: _plain(name, value, plugins) for name, value in arguments.items()
    }


def _attributes(module: Any) -> dict[str, Any]:
    """The arguments of a module that is no option of vi, which keeps them as attributes.

    Raises:
        ConfigurationError: A module of a plugin does not keep one of them.
    """
    cls = type(module)
    lost = [name for name in parameters(cls) if not hasattr(module, name)]
    if lost and not cls.__module__.startswith("torch."):
        raise ConfigurationError(
            f"{cls.__name__} does not keep its argument {lost[0]}, so it cannot be made again",
            hint=f"write self.{lost[0]} = {lost[0]} in its __init__, or derive it from "
            "vi.options.Configurable as well, which keeps all",
        )
    return {k: getattr(module, k) for k in parameters(cls) if k not in lost}


def _plain(name: str, value: Any, plugins: Iterable[str]) -> Any:
    """Return an argument as a plain value, or a part in it by its option's name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item_group(name), v, plugins) for v in value]
    return to_config(name, value, plugins)


def from_config(
    group: str, described: Mapping[str, Any], plugins: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the node with ``_target_`` for the values that ``to_config`` returned.

    Args:
        group: The group of the part.
        described: An option name and plain values.
        plugins: Packages beside vi whose options may be named.

    Raises:
        ConfigurationError: There is a ``_target_`` in it, or an option that does not exist.

    >>> from_config("bound", {"option": "iwae", "num_samples": 5})
    {'_target_': 'vi.bounds.iwae.IWAE', 'num_samples': 5}
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
    """Return a plain value as it is, and described parts in it as nodes."""
    if isinstance(value, list):
        return [_undescribed(item_group(name), v, plugins) for v in value]
    return from_config(name, value, plugins) if isinstance(value, Mapping) else value


def is_savable(parts: Mapping[str, Any], plugins: Iterable[str] = ()) -> bool:
    """Return whether every part has a name, and warn before the work if one has not.

    Args:
        parts: Parts by group.
        plugins: Packages whose options count too.
    """
    try:
        for group, part in parts.items():
            to_config(group, part, plugins)
    except ConfigurationError as error:
        kept = "the run trains, is measured, and keeps its weights in checkpoints/"
        warnings.warn(f"model/ will not be written: {error}; {kept} ({error.hint})", stacklevel=4)
        return False
    return True

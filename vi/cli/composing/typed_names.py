"""Translation of option names from the typed form to that of Hydra.

``posterior.flow=coupling`` chooses an option of the group ``flow`` for a part within another;
Hydra itself requires ``flow@posterior.flow=coupling``. A renamed option is accepted by its older
name for one version.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    OverrideType,
    QuotedString,
)

from vi.cli.composing.run_options import parsed
from vi.config.registry import options, renamed_to, resolve
from vi.config.run import ROLES
from vi.errors import ConfigurationError
from vi.lazy import sources
from vi.options import warn_of_older_name

_WORD = re.compile(r"\w+")
_RENAMED = re.compile(r"^    renamed = \{(.*?)\}", re.MULTILINE | re.DOTALL)


def with_groups(texts: Sequence[str]) -> list[str]:
    """Return the overrides, with the group put before the path of a part that is chosen by name.

    >>> with_groups(["posterior.flow=coupling", "encoder.activation=relu,tanh", "seed=1"])
    ['flow@posterior.flow=coupling', 'activation@encoder.activation=relu,tanh', 'seed=1']
    """
    return [_with_group(override) for override in parsed(texts)]


def _with_group(override: Override) -> str:
    """Return an override, with its group if it chooses a part within another."""
    text, (place, _, group) = str(override.input_line), override.key_or_group.rpartition(".")
    plain = override.type is OverrideType.CHANGE and override.package is None
    chosen = plain and place and group in ROLES and _is_word(override._value)
    return f"{group}@{text}" if chosen else text


def _is_word(value: Any) -> bool:
    """Return whether a value can be the name of an option, or a sweep over such names."""
    if isinstance(value, ChoiceSweep):
        return all(map(_is_word, value.list))
    text = value.text if isinstance(value, QuotedString) else value
    return isinstance(text, Glob) or (isinstance(text, str) and bool(_WORD.fullmatch(text)))


def by_present_names(texts: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Return the overrides with older names of options replaced, with a warning for each.

    Args:
        texts: Overrides of the command line.
        config: Plain values that are composed without the typed options of parts.
    """
    return [_by_present_name(override, config) for override in parsed(texts)]


def _by_present_name(override: Override, config: Mapping[str, Any]) -> str:
    """Return an override by its present name."""
    text, (place, _, name) = str(override.input_line), override.key_or_group.rpartition(".")
    if override.package is not None or not (name in _older_names() or config.get("plugins")):
        return text
    now = getattr(_class_at(place, config), "renamed", {}).get(name)
    if now is None:
        return text
    warn_of_older_name(name, now, place)
    return text.replace(override.key_or_group, f"{place}.{now}", 1)


@cache
def _older_names() -> set[str]:
    """Return the older names of arguments in vi, read from source: imports would take seconds."""
    declared = (found for _, text in sources("vi") for found in _RENAMED.findall(text))
    return {name for pairs in declared for name in re.findall(r'"(\w+)":', pairs)}


def _class_at(place: str, config: Mapping[str, Any]) -> type | None:
    """Return the class of the part at a path of the configuration, or None."""
    node: Any = config
    words = place.split(".")
    for word in words:
        node = node.get(word) if isinstance(node, Mapping) else None
    group = words[-1] if words[-1] in ROLES else words[0]
    if not isinstance(node, Mapping) or group not in ROLES:
        return None
    try:
        return resolve(str(node.get("_target_", "")), group, config.get("plugins") or [])
    except ConfigurationError:
        return None


def warn_of_older_options(typed: Sequence[Override], plugins: Sequence[str]) -> None:
    """Warn of options whose yaml is marked as an older name, with the present option."""
    for override in typed:
        group, name = override.key_or_group, override.value()
        path = options(group, plugins).get(name) if isinstance(name, str) else None
        now = renamed_to(path) if path else None
        if now:
            warnings.warn(
                f"{override.input_line} is an older name, which the next version will refuse: "
                f"write {now}",
                FutureWarning,
                stacklevel=2,
            )

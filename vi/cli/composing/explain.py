"""Errors of Hydra and OmegaConf, as one line and a hint."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vi.config.registry import groups, options
from vi.config.schema import did_you_mean
from vi.config.typed import option as typed_option
from vi.errors import ConfigurationError

GRAMMAR = "options are written name=value or group=option"
_SWEEP = "-m sweeps over several values, one run for each; a list is written [1,2]"
_LONG = 100  # largest number of characters of an option in a message


@contextmanager
def explained(name: str, overrides: Sequence[str]) -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf inside the ``with`` block into a ``ConfigurationError``.

    Args:
        name: Name of the configuration that is composed.
        overrides: Options of the command line, for hints.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:  # on malformed input Hydra raises exceptions of any type
        raise _explanation(error, name, overrides) from error


def _explanation(error: Exception, name: str, overrides: Sequence[str]) -> ConfigurationError:
    """Return an error of Hydra or OmegaConf as one line and a hint that does not hide a typo."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error.missing_cfg_file, error.options or [])
    if isinstance(error, OverrideParseException):
        return _unread(error.override)
    text = str(error.__cause__ if isinstance(error, ConfigCompositionException) else error)
    text = text if text != "None" else str(error)
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return ConfigurationError(
            f"{missing[1]} is required", hint=f"give {missing[1]}=... on the command line"
        )
    found = re.search(r"Could not override '(?:(\w+)@)?([^']+)'", str(error))
    if found:
        return _not_there(found[1], found[2], name, overrides)
    if isinstance(error, RecursionError):
        return ConfigurationError("an option is nested too deeply", hint=GRAMMAR)
    return _unexpected(error)


def _unknown_option(path: str, known: Sequence[str]) -> ConfigurationError:
    """Return the error for an unknown option of a group, with similar ones."""
    group, _, option = path.rpartition("/")
    known = list(known) or list(options(group))
    return ConfigurationError(f"unknown option {group}={option}", hint=did_you_mean(option, known))


def _unread(option: str) -> ConfigurationError:
    """Return the error for an unreadable option, most often a path that the shell has split."""
    name, equals, value = option.partition("=")
    if not (name and equals) or value.startswith(("[", "{")) or len(option) > _LONG:
        hint = f"{GRAMMAR}; a text with blanks is quoted twice: \"name='a text'\""
    else:
        hint = f"quote the text, for the shell as well: {typed_option(name, value)}"
    shown = option if len(option) < _LONG else f"{option[:_LONG]}..."
    return ConfigurationError(f"cannot read the option {shown!r}", hint=hint)


def _unexpected(error: Exception) -> ConfigurationError:
    """Return an error with the first line of any other exception."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    hint = _SWEEP if re.match("Ambiguous value|Sweep parameters", lines[0]) else GRAMMAR
    if isinstance(error, HydraException | OmegaConfBaseException | UserWarning):
        return ConfigurationError(lines[0], hint=hint)
    told = f"{type(error).__name__}: {lines[0]}"
    return ConfigurationError(f"cannot compose the configuration ({told})", hint=GRAMMAR)


def _not_there(
    group: str | None, option: str, name: str, overrides: Sequence[str]
) -> ConfigurationError:
    """Return the error for an option that the configuration does not have.

    If the option belongs to a group whose part is chosen elsewhere, the hint names that group.
    """
    path, _, key = option.rpartition(".")
    known = _known(path, name, overrides)
    if group in known:  # it has the place, which a part of another place fills
        word = next((o.partition("=")[2] for o in overrides if option in o), "...")
        return ConfigurationError(
            f"{option} cannot be chosen there", hint=f"{group}={word} chooses it"
        )
    return ConfigurationError(f"unknown option {option}", hint=did_you_mean(key, known, path))


def _known(path: str, name: str, overrides: Sequence[str]) -> list[str]:
    """Return the names of the options at a path of the configuration."""
    chosen = [o for o in overrides if re.split("[@=]", o)[0] in groups()]
    try:
        node: Any = OmegaConf.to_container(compose(name, chosen), resolve=False)
    except Exception:  # see ``explained``
        node = OmegaConf.to_container(compose(name), resolve=False)
    for part in path.split(".") if path else []:
        node = node.get(part, {}) if isinstance(node, Mapping) else {}
    return [k for k in node if not k.startswith("_")] if isinstance(node, Mapping) else []

"""Flags of ``train``: those of Hydra that are supported here."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from vi.cli.program import train_command
from vi.errors import ConfigurationError

_REFUSED = {
    "config_name": "--config-name",
    "config_path": "--config-path",
    "experimental_rerun": "--experimental-rerun",
}
_ACTIONS = {
    "run": "--run",
    "multirun": "--multirun",
    "cfg": "--cfg",
    "info": "--info",
    "shell_completion": "--shell-completion",
}


def parser() -> ArgumentParser:
    """Return Hydra's parser, changed to raise errors instead of printing its usage."""
    found = get_args_parser()
    found.allow_abbrev = False
    found.error = _refuse
    return found


def flags_of(arguments: Sequence[str]) -> Namespace:
    """Return the flags and the overrides of a command line, in any order.

    Raises:
        ConfigurationError: A flag is unknown or not supported, or two flags exclude each other.
    """
    flags = parser().parse_intermixed_args(list(arguments))
    for name, flag in _REFUSED.items():
        if getattr(flags, name) is not None:
            _refuse(f"{flag} is not supported")
    if flags.config_dir is not None:
        raise ConfigurationError(
            "--config-dir is not supported",
            hint=f"hydra.searchpath=[file://{Path(flags.config_dir).resolve()}] adds a folder of "
            "yaml files",
        )
    chosen = [flag for name, flag in _ACTIONS.items() if getattr(flags, name)]
    if len(chosen) > 1:
        _refuse(f"{chosen[0]} and {chosen[1]} exclude each other")
    if (flags.resolve or flags.package is not None) and not (flags.cfg or flags.help):
        _refuse("--resolve and --package require --cfg")
    return flags


def _refuse(message: str) -> NoReturn:
    """Raise the error with a hint to ``--help``."""
    raise ConfigurationError(message, hint=f"{train_command()} --help shows options and flags")

"""Options of a run, stored in its folder as names and plain values, and read when it is resumed.

Options that are read from a run import nothing, add no folder of yaml files and do not configure
Hydra: otherwise the run directory of a stranger could execute code. Such options must be typed.
"""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

import vi
from vi.cli.composing.plugins import searchpath_of
from vi.cli.program import train_command
from vi.config.registry import config_dir
from vi.config.typed import quoted
from vi.errors import CheckpointError, ConfigurationError
from vi.files.atomic import write_atomically
from vi.files.plain_files import Unreadable, read_json, read_yaml

FILE, FORMAT = "options.json", 1
_OF_A_START = {"ckpt_path", "init_from"}  # describe how the run began, not its parts
_NAME = re.compile(r"(?:~|\+\+?)?[A-Za-z0-9_./@:-]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WRITERS = ("logger", "callbacks")  # these write files to paths in options
_IN_HYDRA = re.compile(r"hydra(?:$|[./@:])")
_TEXT = 1 << 14  # Hydra's parser takes a second for a few thousand values
_DEPTH = 16
_HINT = "copy the whole run directory again, or start anew"


@dataclass(frozen=True)
class RunOption:
    """One option of the command line.

    Args:
        name: Name without prefix: ``trainer.max_epochs``, ``flow@posterior.flow``.
        text: The whole option as it is typed.
        plain: Whether it may be taken from a file beside a checkpoint.
    """

    name: str
    text: str
    plain: bool


def write(run_dir: Path, texts: Iterable[str], searchpath: Sequence[str]) -> None:
    """Write the options of a run to ``options.json``, completely or not at all.

    Args:
        run_dir: Folder of the run.
        texts: Options of the run as they were typed.
        searchpath: Folders of yaml files that were added.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    options = parsed(texts)
    entries, implied = [_entry(option) for option in options], searchpath_of(options)
    if typed := [folder for folder in searchpath if folder not in implied]:
        entries.append({"name": "hydra.searchpath", "value": typed})
    config = {"format": FORMAT, "vi": vi.__version__, "options": entries}
    write_atomically(run_dir / FILE, (json.dumps(config, indent=2) + "\n").encode())


def has_options(run_dir: Path, texts: Iterable[str]) -> bool:
    """Return whether a run was trained with these options, apart from where and how it began.

    Raises:
        CheckpointError: The options of the run cannot be read.
    """
    if not (run_dir / FILE).exists():
        return False
    ours = map(_from_entry, map(_entry, parsed(texts)))
    theirs = _options(run_dir)
    one, other = ({o.name: o.text for o in found if _of_a_part(o)} for found in (ours, theirs))
    return one == other


def _of_a_part(option: RunOption) -> bool:
    return option.name not in _OF_A_START and not _IN_HYDRA.match(option.name)


def continued(typed: Sequence[str], run_dir: Path) -> list[str]:
    """Return the command line of a resumed run: its own options, then those that are typed.

    A typed option replaces the same option of the run, so that the result may be stored as the
    options of the run and continued again.

    Raises:
        CheckpointError: The options of the run cannot be read.
        ConfigurationError: The run has options that must be typed, and they are not.
    """
    options = parsed(typed)
    said, implied = {_name(option) for option in options}, searchpath_of(options)
    kept = [o for o in _options(run_dir) if o.name not in said | _OF_A_START]
    withheld = [o.text for o in kept if not (o.plain or _adds_only(o, implied))]
    if withheld:
        raise ConfigurationError(
            f"{run_dir} was made with {' '.join(withheld)}: it could run code, so it is not "
            "taken from a run",
            hint=f"if you trust it, type it yourself: {_command([*typed, *withheld])}",
        )
    ours = [o.text for o in kept if o.plain]
    return [*ours, f"hydra.run.dir={quoted(str(relative(run_dir)))}", *typed]


def _adds_only(option: RunOption, folders: Sequence[str]) -> bool:
    """Return whether an option only adds folders that are on the search path already."""
    if option.name != "hydra.searchpath":
        return False
    value = parsed([option.text])[0].value()
    return isinstance(value, list) and {*map(str, value)} <= {*folders}


def parsed(texts: Iterable[str]) -> list[Override]:
    """Return options as parsed by Hydra.

    Raises:
        HydraException: One of them cannot be read.
    """
    return OverridesParser.create().parse_overrides(list(texts))


def relative(path: Path) -> Path:
    """Return a path relative to the current folder, if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _entry(override: Override) -> dict[str, Any]:
    """Return the entry of an option in options.json; a deletion has no value."""
    name = {"name": override.get_key_element()}
    return name if override.is_delete() else name | {"value": override.value()}


def _name(override: Override) -> str:
    """Return the name of an option without its prefix."""
    return override.get_key_element().lstrip("+~")


def _options(run_dir: Path) -> list[RunOption]:
    """Return the options in ``options.json``, or in Hydra's files of an older run.

    Raises:
        CheckpointError: The files cannot be read.
    """
    path = run_dir / FILE
    try:
        if path.exists():
            return _from_json(read_json(path))
        path = run_dir / ".hydra"
        return _from_hydra(path / "overrides.yaml", path / "hydra.yaml")
    except Unreadable as error:
        raise CheckpointError(f"{relative(path)}: {error}", hint=_HINT) from error


def _from_json(config: Any) -> list[RunOption]:
    """Return the options in the contents of options.json."""
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise Unreadable(f"is not a file of options of format {FORMAT}")
    entries = config.get("options")
    if not isinstance(entries, list):
        raise Unreadable("contains no list of options")
    return _bounded([_from_entry(entry) for entry in entries])


def _from_entry(entry: Any) -> RunOption:
    """Return the option of one entry of options.json."""
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Unreadable(f"holds an option without a name: {str(entry)[:80]!r}")
    delete = name.startswith("~")
    if delete != ("value" not in entry):
        raise Unreadable(f"holds {name} {'with' if delete else 'without'} a value")
    text = name if delete else f"{name}={_written(entry['value'])}"
    return RunOption(name.lstrip("+~"), text, _travels(name.lstrip("+~"), entry.get("value")))


def _from_hydra(overrides: Path, hydra: Path) -> list[RunOption]:
    """Return the options in Hydra's own files, with the search path, if any."""
    texts = read_yaml(overrides)
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise Unreadable("overrides.yaml is not a list of options")
    node = read_yaml(hydra)
    said = node.get("hydra") if isinstance(node, dict) else None
    if not isinstance(said, dict):
        raise Unreadable("hydra.yaml is not a configuration of Hydra")
    search = said.get("searchpath") or []
    if not isinstance(search, list):
        raise Unreadable("hydra.yaml has a search path that is not a list")
    options = _bounded([RunOption("", t, False) for t in texts])
    found = [RunOption("hydra.searchpath", f"hydra.searchpath={_written(search)}", False)]
    return [*(_from_text(o.text) for o in options), *(found if search else [])]


def _from_text(text: str) -> RunOption:
    """Return the option that a text in Hydra's grammar contains."""
    if _depth(text) > _DEPTH:
        raise Unreadable("contains an option that is nested too deeply")
    try:
        (override,) = parsed([text])
    except (HydraException, RecursionError):
        raise Unreadable(f"holds {text[:80]!r}, which is not an option") from None
    name, value = _name(override), override.value()
    plain = not override.is_sweep_override() and _travels(name, value)
    return RunOption(name, text, plain)


def _bounded(options: list[RunOption]) -> list[RunOption]:
    """Return the options, if they are short and printable.

    Raises:
        Unreadable: They are not.
    """
    if sum(len(o.text) for o in options) > _TEXT:
        raise Unreadable(f"holds options of more than {_TEXT} characters")
    for o in options:
        if not o.text.isprintable():
            raise Unreadable(f"holds {o.text[:80]!r}, which cannot be printed")
    return options


def _depth(text: str) -> int:
    """Return the depth of nested brackets in a text, including those in quotes."""
    steps = ({"[": 1, "{": 1, "(": 1, "]": -1, "}": -1, ")": -1}.get(c, 0) for c in text)
    return max(accumulate(steps, initial=0))


def _travels(name: str, value: Any) -> bool:
    """Return whether an option may be read from a run.

    It must import nothing, read no other file and not configure Hydra.
    """
    group, *packages = name.split("@")
    words = re.split(r"[./:@]", name)
    if group == "plugins" or any(_IN_HYDRA.match(part) for part in (group, *packages)):
        return False
    if any(word.startswith("_") and word != "_global_" for word in words):
        return False
    if packages or (config_dir() / group).is_dir():
        return value is None or (isinstance(value, str) and bool(_WORD.fullmatch(value)))
    if words[0] in _WRITERS:
        return _no_place(words[-1], value)
    return _plain(value)


def _no_place(name: str, value: Any) -> bool:
    """Return whether an option of a logger or callback contains no path of a file."""
    if isinstance(value, str):
        return bool(_WORD.fullmatch(value or "none")) and "dir" not in name
    return value is None or isinstance(value, bool | int | float)


def _plain(value: Any) -> bool:
    """Return whether a value is plain: numbers and texts without interpolation, also nested."""
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        named = all(isinstance(key, str) and _WORD.fullmatch(key) for key in value)
        return named and all(map(_plain, value.values()))
    if isinstance(value, str):
        return "${" not in value
    return value is None or isinstance(value, bool | int | float)


def _written(value: Any) -> str:
    """Return a plain value in Hydra's grammar, with texts in quotes where they need them."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(k)}:{_written(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def _key(key: str) -> str:
    """Return a key of a mapping, if it is a name."""
    if not _WORD.fullmatch(key) and not key.startswith("_"):
        raise Unreadable(f"holds the key {key[:80]!r}, which is not a name")
    return key


def _command(options: Sequence[str]) -> str:
    """Return the command with these options, quoted for a shell."""
    return shlex.join([*shlex.split(train_command()), *options])

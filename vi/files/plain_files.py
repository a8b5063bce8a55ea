"""Files of plain values from outside: bounded, decoded strictly, and never more than values.

A file of some hundred bytes can ask for hours (aliases within aliases), for the stack of the
interpreter (brackets without end) or for code (tags). Whatever is read here is checked before
anything is built from it.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

_DEPTH = 32
_VALUES = 100_000  # in all, with every alias written out
_YAML_BYTES = 1 << 16  # a reader in Python takes a second for this
_JSON_BYTES = 1 << 24
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(ValueError):
    """Why a file is not read: a clause that goes on from its name."""


def read_json(path: Path, constant: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON file, finite numbers and distinct keys only.

    Args:
        path: The file.
        constant: What to make of NaN and Infinity, which are no JSON; they are refused if not
            given.

    Raises:
        Unreadable: It is missing, no file, too large, not UTF-8, no JSON, nested too deep, has a
            key twice or a number that is not finite.
    """
    return json_value(_content(path, _JSON_BYTES), constant)


def read_yaml(path: Path) -> Any:
    """The value of a yaml file without tags.

    Raises:
        Unreadable: As ``read_json``, or for a tag, or aliases that stand for too much.
    """
    return yaml_value(_content(path, _YAML_BYTES))


def json_value(content: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text; see ``read_json``.

    >>> json_value(b'{"seed": 0}')
    {'seed': 0}
    >>> json_value(b'{"seed": NaN}')
    Traceback (most recent call last):
    vi.files.plain_files.Unreadable: holds NaN, which is no number
    """
    text = _decoded(content)
    try:
        value = json.loads(
            text,
            parse_constant=constant or _no_number,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
    except RecursionError:
        raise Unreadable(f"nests deeper than {_DEPTH}") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"is no JSON: {_first_line(error)}") from None
    _require_shallow(value)
    if "\\ud" in text.lower():
        _require_text(value)
    return value


def yaml_value(content: bytes) -> Any:
    """The value of a yaml text; see ``read_yaml``.

    >>> yaml_value(b"- seed=0")
    ['seed=0']
    >>> yaml_value(b"!!python/name:os.system")
    Traceback (most recent call last):
    vi.files.plain_files.Unreadable: holds the tag tag:yaml.org,2002:python/name:os.system
    """
    text = _decoded(content)
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, TypeError) as error:  # a date that is none; a list as key
        raise Unreadable(f"is no yaml of plain values: {_first_line(error)}") from None


def check_yaml(text: str) -> None:
    """Refuse a yaml text that has tags, nests deep, or whose aliases stand for too much.

    Only its events are looked at: nothing is built.

    Raises:
        Unreadable: It does.
    """
    if len(text) > _YAML_BYTES:
        raise Unreadable(f"is larger than {_YAML_BYTES} bytes")
    sizes = _Sizes()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            sizes.take(event)
    except yaml.YAMLError as error:
        raise Unreadable(f"is no yaml: {_first_line(error)}") from None


def checked_yaml_text(path: Path) -> str:
    """The text of a yaml file that ``check_yaml`` has passed, for another reader.

    Raises:
        Unreadable: See ``read_yaml``.
    """
    text = _decoded(_content(path, _YAML_BYTES))
    check_yaml(text)
    return text


class _Sizes:
    """How many values a yaml text stands for, counted while its events pass."""

    def __init__(self) -> None:
        self.open: list[tuple[str | None, int]] = []  # anchor, and the values within so far
        self.of: dict[str, int] = {}

    def take(self, event: yaml.Event) -> None:
        """Count one event."""
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise Unreadable(f"holds the tag {tag}")
        if isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, 1))
            if len(self.open) > _DEPTH:
                raise Unreadable(f"nests deeper than {_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            self.add(*self.open.pop())
        elif isinstance(event, yaml.AliasEvent):  # of something still open: a circle
            self.add(None, self.of.get(event.anchor, _VALUES + 1))
        elif isinstance(event, yaml.ScalarEvent):
            self.add(event.anchor, 1)

    def add(self, anchor: str | None, size: int) -> None:
        """A value is complete; it counts within what holds it."""
        if size > _VALUES:
            raise Unreadable(f"unpacks to more than {_VALUES} values")
        if anchor is not None:
            self.of[anchor] = size
        if self.open:
            holder, within = self.open.pop()
            self.open.append((holder, within + size))


def _content(path: Path, most: int) -> bytes:
    try:
        kind = "file" if path.is_file() else "other" if path.exists() else "nothing"
        content = _first_bytes(path, most + 1) if kind == "file" else b""
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    if kind != "file":
        raise Unreadable("is missing" if kind == "nothing" else "is no file")
    if len(content) > most:
        raise Unreadable(f"is larger than {most} bytes")
    return content


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 from byte {error.start} on") from None


def _require_text(value: Any) -> None:
    """Half a surrogate pair can be written in JSON, and nowhere else."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unreadable("holds half a surrogate pair") from None


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
    if level:
        raise Unreadable(f"nests deeper than {_DEPTH}")


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise Unreadable(f"holds the key {twice!r} twice")
    return whole


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise Unreadable(f"holds {text}, which is no number")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

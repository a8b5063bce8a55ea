"""Read JSON and yaml files from untrusted sources: bounded in size, and plain values only.

A file of a few hundred bytes can cost hours (aliases inside aliases), overflow the interpreter's
stack (unclosed brackets), or run code (tags). Everything read here is checked before any value is
built from it.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

_DEPTH = 32
_VALUES = 100_000  # largest number of values, with all aliases expanded
_YAML_BYTES = 1 << 16  # a parser in Python needs a second for this
_JSON_BYTES = 1 << 24
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(ValueError):
    """The reason why a file is refused, as a clause to follow the file's name."""


def read_json(path: Path, constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON file; only finite numbers and distinct keys are accepted.

    Args:
        path: The file.
        constant: Converts NaN and Infinity, which are not part of JSON; they are refused if not
            given.

    Returns:
        Dictionaries, lists, texts, numbers, booleans and None.

    Raises:
        Unreadable: It is missing, not a file, larger than 16 MiB, not UTF-8, not JSON, nested
            deeper than 32 levels, or has a duplicate key or a number that is not finite.
    """
    return json_value(_content(path, _JSON_BYTES), constant)


def read_yaml(path: Path) -> Any:
    """Return the value of a yaml file without tags.

    Raises:
        Unreadable: It is missing, not a file, larger than 64 KiB, not UTF-8, not yaml, nested
            deeper than 32 levels, or has a tag or aliases that stand for more than 100 000 values.
    """
    return yaml_value(_content(path, _YAML_BYTES))


def json_value(content: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text, under the conditions of ``read_json``.

    >>> json_value(b'{"seed": 0}')
    {'seed': 0}
    >>> json_value(b'{"seed": NaN}')
    Traceback (most recent call last):
    vi.files.plain_files.Unreadable: holds NaN, which is not a finite number
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
        raise Unreadable(f"is not JSON: {_first_line(error)}") from None
    _require_shallow(value)
    if "\\ud" in text.lower():
        _require_text(value)
    return value


def yaml_value(content: bytes) -> Any:
    """Return the value of a yaml text, under the conditions of ``read_yaml``.

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
    except (yaml.YAMLError, ValueError, TypeError) as error:  # impossible date; list as a key
        raise Unreadable(f"is not yaml of plain values: {_first_line(error)}") from None


def check_yaml(text: str) -> None:
    """Refuse a yaml text with tags, deep nesting, or aliases that stand for too many values.

    Only the parser's events are read; no value is built.

    Raises:
        Unreadable: One of these holds.

    >>> check_yaml("a: [1, 2]")
    >>> check_yaml("a: &loop [*loop]")
    Traceback (most recent call last):
    vi.files.plain_files.Unreadable: unpacks to more than 100000 values
    """
    if len(text) > _YAML_BYTES:
        raise Unreadable(f"is larger than {_YAML_BYTES} bytes")
    sizes = _Sizes()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            sizes.take(event)
    except yaml.YAMLError as error:
        raise Unreadable(f"is not yaml: {_first_line(error)}") from None


def checked_yaml_text(path: Path) -> str:
    """Return the text of a yaml file that passes ``check_yaml``, for another parser.

    Raises:
        Unreadable: See ``read_yaml``.
    """
    text = _decoded(_content(path, _YAML_BYTES))
    check_yaml(text)
    return text


class _Sizes:
    """Counts the values of a yaml text with all aliases expanded, event by event."""

    def __init__(self) -> None:
        self.open: list[tuple[str | None, int]] = []  # anchor, and the values within so far
        self.of: dict[str, int] = {}

    def take(self, event: yaml.Event) -> None:
        """Count one event; refuse tags and deep nesting."""
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise Unreadable(f"holds the tag {tag}")
        if isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, 1))
            if len(self.open) > _DEPTH:
                raise Unreadable(f"nests deeper than {_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            self.add(*self.open.pop())
        elif isinstance(event, yaml.AliasEvent):  # unknown if its anchor is still open: a cycle
            self.add(None, self.of.get(event.anchor, _VALUES + 1))
        elif isinstance(event, yaml.ScalarEvent):
            self.add(event.anchor, 1)

    def add(self, anchor: str | None, size: int) -> None:
        """Add a complete value to the count of the collection that contains it."""
        if size > _VALUES:
            raise Unreadable(f"unpacks to more than {_VALUES} values")
        if anchor is not None:
            self.of[anchor] = size
        if self.open:
            holder, within = self.open.pop()
            self.open.append((holder, within + size))


def _content(path: Path, most: int) -> bytes:
    """Return the bytes of a file of at most ``most`` bytes."""
    try:
        kind = "file" if path.is_file() else "other" if path.exists() else "nothing"
        content = _first_bytes(path, most + 1) if kind == "file" else b""
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    if kind != "file":
        raise Unreadable("is missing" if kind == "nothing" else "is not a file")
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
    """Refuse half a surrogate pair, which JSON can express but no text can contain."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unreadable("holds half a surrogate pair") from None


def _require_shallow(value: Any) -> None:
    """Refuse values nested deeper than 32 levels, without recursion."""
    level = [value]
    for _ in range(_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
    if level:
        raise Unreadable(f"nests deeper than {_DEPTH}")


def _within(value: Any) -> Iterator[Any]:
    """Yield the values inside a dictionary or list."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary, and refuse duplicate keys, of which JSON would keep the last."""
    whole = dict(pairs)
    if len(whole) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise Unreadable(f"holds the key {twice!r} twice")
    return whole


def _finite(text: str) -> float:
    """Convert a number, and refuse one that overflows to infinity."""
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise Unreadable(f"holds {text}, which is not a finite number")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

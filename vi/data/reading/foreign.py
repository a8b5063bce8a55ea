"""Errors of libraries that read files of untrusted origin."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vi.errors import DataError, ViError


@contextmanager
def foreign(path: Path, what: str, *, hint: str) -> Iterator[None]:
    """Convert every error of a library that reads a file into a ``DataError`` about the file.

    Decoders raise errors of many types (``struct.error``, ``RuntimeError``, ``KeyError``, ...),
    and a list of them would never be complete. Therefore every exception in the ``with`` block is
    converted; keep the block to the call of the library.

    Args:
        path: The file.
        what: What it should be; the message is "PATH is not WHAT: REASON".
        hint: What to do about it.

    Raises:
        DataError: The block raised an exception; errors of vi itself pass unchanged.

    >>> with foreign(Path("x.npz"), "a zip file", hint="zip it again"):
    ...     raise KeyError("no directory")
    Traceback (most recent call last):
    vi.errors.DataError: x.npz is not a zip file: 'no directory'
    """
    try:
        yield
    except ViError:
        raise
    except Exception as error:
        raise DataError(f"{path} is not {what}: {_one_line(error)}", hint=hint) from error


def _one_line(error: Exception) -> str:
    """Return the message of an error in one line, or its type."""
    return shortened(str(error), 200) or type(error).__name__


def shortened(text: str, length: int) -> str:
    r"""Return a text in one line, cut at a length.

    >>> shortened("one line,\nand another", 12)
    'one line, an...'
    """
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else f"{line[:length]}..."

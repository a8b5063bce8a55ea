"""What a library says about a stranger's bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vi.errors import DataError, ViError


@contextmanager
def foreign(path: Path, what: str, *, hint: str) -> Iterator[None]:
    """Read a file's bytes with a library: whatever it raises is an error of those bytes.

    Decoders raise what their authors met (``struct.error``, ``RuntimeError``, ``KeyError``, ...),
    and no list of it is ever complete. Keep the block to the call of the library.

    Args:
        path: The file.
        what: What it should be: the message is "PATH is not WHAT: REASON".
        hint: What to do about it.

    Raises:
        DataError: The block raised anything; errors of this library pass as they are.

    >>> with foreign(Path("x.npz"), "a zip file", hint="zip it anew"):
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
    return shortened(str(error), 200) or type(error).__name__


def shortened(text: str, length: int) -> str:
    r"""Text in one line, without what is beyond a length.

    >>> shortened("one line,\nand another", 12)
    'one line, an...'
    """
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else f"{line[:length]}..."
